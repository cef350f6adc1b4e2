# shellcheck shell=bash
# Huge pages of 2 MiB: taken for a while, and given back. Counts are added and subtracted, never set, so that two users
# at the same time do not undo each other.

HUGE_PAGES=/sys/kernel/mm/hugepages/hugepages-2048kB

# huge_pages_add MB: sees to it that so much is free; prints the number of pages added (0: there were enough).
# Fails, and leaves all as it was, where the system has none or its memory is too fragmented: then go with --no-huge.
huge_pages_add() {
  local want=$(($1 / 2)) free total added
  [[ -w $HUGE_PAGES/nr_hugepages ]] || return 1
  free=$(<"$HUGE_PAGES/free_hugepages")
  total=$(<"$HUGE_PAGES/nr_hugepages")
  if ((free >= want)); then
    echo 0
    return
  fi
  echo $((total + want - free)) >"$HUGE_PAGES/nr_hugepages" || return 1
  added=$(($(<"$HUGE_PAGES/nr_hugepages") - total))
  if ((added < want - free)); then
    huge_pages_remove "$added"
    return 1
  fi
  echo "$added"
}

# huge_pages_remove COUNT: gives back what huge_pages_add added.
huge_pages_remove() {
  (($1 == 0)) || echo $(($(<"$HUGE_PAGES/nr_hugepages") - $1)) >"$HUGE_PAGES/nr_hugepages"
}
