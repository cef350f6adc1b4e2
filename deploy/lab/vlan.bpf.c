/* A VLAN interface in two BPF programs, for kernels without 802.1Q.
 * tc/tag runs where frames of the VLAN interface arrive: push the tag, send out of the lower interface.
 * tc/untag runs where tagged frames arrive: pop our tag, hand the frame to the VLAN interface.
 * Compiled per interface with -DVLAN_ID -DTPID -DOUTSIDE (ifindex of the lower one) -DINSIDE (ifindex). */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

static long (*vlan_push)(struct __sk_buff *, __be16 proto, __u16 tci) = (void *)BPF_FUNC_skb_vlan_push;
static long (*vlan_pop)(struct __sk_buff *) = (void *)BPF_FUNC_skb_vlan_pop;
static long (*redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;

__attribute__((section("tc/tag"), used)) int tag(struct __sk_buff *skb)
{
	if (vlan_push(skb, __builtin_bswap16(TPID), VLAN_ID))
		return TC_ACT_SHOT;
	return redirect(OUTSIDE, 0);
}

__attribute__((section("tc/untag"), used)) int untag(struct __sk_buff *skb)
{
	if (!skb->vlan_present || skb->vlan_proto != __builtin_bswap16(TPID) || (skb->vlan_tci & 0xfff) != VLAN_ID)
		return TC_ACT_UNSPEC; /* not ours: the next filter, then the stack */
	if (vlan_pop(skb))
		return TC_ACT_SHOT;
	return redirect(INSIDE, 0);
}
