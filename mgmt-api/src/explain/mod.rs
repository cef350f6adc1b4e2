//! What happens to a packet, and why: the question as the control plane gets it, and its answer.
//!
//! ```text
//!  {"from": "vm1", "to": "vm3",       resolve              ControlPlane::explain
//!   "protocol": "tcp/443"}         ─────────────▶ ExplainQuery ─────────────▶ Explanation
//!  {"interface": "eth1", "frame": …}  (MACs, gateway,      (the workers' own code
//!                                      tag or tunnel)       over one packet)
//! ```
//!
//! The state fills in what a host would know or find out: so the question is as short as the operator's.

mod query;
mod resolve;
mod sender;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::id::Id;

pub use query::{ExplainFrame, ExplainQuery, PacketFields, Transport, Tunnel};
pub use resolve::ExplainSpec;

/// What happened to a packet.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// The frame that came in, in hexadecimal.
    #[serde(serialize_with = "write_hex")]
    #[schema(value_type = String)]
    pub frame: Vec<u8>,
    /// Each decision, in the order they were made.
    pub steps: Vec<Step>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it was dropped, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<DropExplanation>,
    /// The frames that left for it: copies, answers, fragments.
    pub packets: Vec<SentPacket>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Step {
    /// The stage that made it.
    pub stage: String,
    /// The stable word for it.
    pub code: String,
    /// A sentence.
    pub text: String,
    /// The table entry that it followed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub entry: Option<serde_json::Value>,
}

/// What came of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It left for its destination.
    Forwarded,
    /// Copies of it left for everyone.
    Flooded,
    /// It was answered here.
    Answered,
    /// It was for this host itself.
    Consumed,
    /// It went no further.
    Dropped,
    /// It waits for something to be found out: a neighbour's MAC address.
    Held,
}

/// Why a packet was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DropExplanation {
    /// The reason, as in `/v1/drops`.
    pub reason: String,
    /// What it means.
    pub description: String,
}

/// A frame that left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SentPacket {
    /// The interface it left by.
    pub interface: Id,
    /// The frame, in hexadecimal.
    #[serde(serialize_with = "write_hex")]
    #[schema(value_type = String)]
    pub bytes: Vec<u8>,
    /// What it is, in one line.
    pub summary: String,
}

fn write_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    serializer.serialize_str(&digits.collect::<String>())
}
