#!/bin/sh
# Checks every configuration of the model, and that each rule which is left out is missed. `check.sh WORD` takes only the lines whose name contains WORD.
# A line of the table below: name, model, what to expect (holds: no error; caught: an assertion fails; occurs: the assertion
# that it never happens fails; ends: no run goes round in circles, so that what is asserted at the end is asserted of every run), what it shows, and the -D options.
# Everything that is produced lies in .build/model/NAME: pan, its output, the trail.
set -u
here=$(cd "$(dirname "$0")" && pwd)
scratch=$here/../../.build/model
only=${1:-}
mkdir -p "$scratch" && scratch=$(cd "$scratch" && pwd) || exit 1

table() { cat <<'END'
takeover-loss|takeover|holds|crash of the primary, one copy destroyed|-DCRASHES=1 -DLOSSES=1
takeover-suspicion|takeover|holds|primary wrongly suspected, one copy destroyed|-DSUSPICIONS=1 -DLOSSES=1
takeover-everything|takeover|holds|2 packets: crash, suspicion, loss on both ways, a duplicate|-DN=2 -DDROP=1 -DCRASHES=1 -DSUSPICIONS=1 -DLOSSES=1 -DEGRESS_LOSSES=1 -DDUPLICATES=1
takeover-three-nodes|takeover|holds|2 packets, two crashes in a row, third node brought up in between|-DN=2 -DDROP=0 -DNODES=3 -DCRASHES=2
flows-crash|flows|holds|two flows, crash of the primary|-DCRASHES=1
flows-loss|flows|holds|two flows, crash of the primary, one copy to the secondary destroyed|-DCRASHES=1 -DLOSSES=1
flows-suspicion|flows|holds|two flows, primary wrongly suspected|-DSUSPICIONS=1
newsecondary-hold|newsecondary|holds|policy hold, credit; primary may crash under or after synchronisation|-DCRASHES=1
newsecondary-release|newsecondary|holds|the same, policy release|-DCRASHES=1 -DRELEASE
newsecondary-both|newsecondary|holds|the new secondary crashes, comes again; then the primary crashes|-DCRASHES=1 -DCRASHES_C=1
egress-lossy|egress|holds|lossy way to egress, crash of the primary|-DCRASHES=1 -DLOSSES=1
egress-failure|egress|holds|4 packets, egress fails or is given up, lossy way|-DEGRESS_FAILURES=1 -DLOSSES=1
egress-both|egress|holds|3 packets, egress and primary fail, lossy way; policy: send again|-DN=3 -DEGRESS_FAILURES=1 -DCRASHES=1 -DLOSSES=1
egress-both-discard|egress|holds|the same, policy: discard|-DN=3 -DEGRESS_FAILURES=1 -DCRASHES=1 -DLOSSES=1 -DDISCARD
reconnection-cuts|reconnection|holds|connection cut twice|-DCUTS=2
reconnection-restart|reconnection|holds|cut twice; secondary restarted empty under a new epoch|-DCUTS=2 -DRESTARTS=1
migration|migration|holds|one flow moved; any node crashes, two copies destroyed|-DCRASHES=1 -DLOSSES=2
migration-copy|migration|holds|one flow moved, copied before it is frozen; any node crashes, one copy destroyed|-DCOPY -DCRASHES=1 -DLOSSES=1
migration-copy-back|migration|holds|the same, A to B and back, given up once|-DCOPY -DMOVES=2 -DUNDOS=1
migration-undo|migration|holds|one flow moved or not; a node of each pair crashes, given up once|-DCRASHES=2 -DUNDOS=1
migration-back|migration|holds|A to B and back; any node crashes|-DMOVES=2 -DCRASHES=1
migration-onward|migration|holds|A to B to C, back to back; any node crashes|-DPAIRS=3 -DMOVES=2 -DCRASHES=1
migration-crossing|migration|holds|one flow from A to B, one from B to A; any node crashes|-DFLOWS=2 -DN=1 -DCRASHES=1
R1|takeover|caught|egress takes whatever is above the last it let out|-DNO_R1_CHAIN -DCRASHES=1 -DLOSSES=1
R1-egress|egress|caught|the same, with the ledger|-DNO_R1_CHAIN -DCRASHES=1 -DLOSSES=1
R2-commit|takeover|caught|commit before egress has acknowledged|-DNO_R2_ACKNOWLEDGEMENT -DCRASHES=1 -DLOSSES=1
R2-retransmission|takeover|caught|no retransmission to egress|-DNO_R2_RETRANSMISSION -DN=2 -DDROP=1 -DCRASHES=1 -DSUSPICIONS=1 -DLOSSES=1 -DEGRESS_LOSSES=1 -DDUPLICATES=1
R2-ledger|egress|caught|egress acknowledges what it holds or refuses|-DNO_R2_LEDGER -DCRASHES=1 -DLOSSES=1
R2-every-flow|flows|caught|commit when one flow of the batch is acknowledged|-DNO_R2_EVERY_FLOW -DCRASHES=1
R3|takeover|caught|commit carries the live state|-DNO_R3_STATE_OF_BATCH -DCRASHES=1 -DLOSSES=1
R3-flows|flows|caught|the same, two flows|-DNO_R3_STATE_OF_BATCH -DCRASHES=1
R4|takeover|caught|the secondary does not report uncovered copies|-DNO_R4_UNCOVERED -DCRASHES=1 -DLOSSES=1
R5|takeover|caught|a voted lost-set does not bind the voter|-DNO_R5_BINDING -DSUSPICIONS=1 -DLOSSES=1
R6|takeover|caught|the secondary goes on voting after its promise|-DNO_R6_PROMISE -DSUSPICIONS=1 -DLOSSES=1
R7|takeover|caught|the primary releases unprotected without the map|-DNO_R7_MAP -DCRASHES=1 -DLOSSES=1
R8|takeover|caught|an old primary does not forward|-DNO_R8_FORWARD -DSUSPICIONS=1 -DLOSSES=1
R8-migration|migration|caught|the same after a migration|-DNO_R8_FORWARD -DLOSSES=1
R9-in-sync|takeover|caught|a syncing secondary is promoted|-DNO_R9_IN_SYNC -DN=2 -DDROP=0 -DNODES=3 -DCRASHES=2
R9-rule-change|takeover|caught|in sync before what was stamped before the rule change is covered|-DNO_R9_RULE_CHANGE -DN=2 -DDROP=0 -DNODES=3 -DCRASHES=2
R9-in-sync-snapshot|newsecondary|caught|a syncing secondary is promoted|-DNO_R9_IN_SYNC -DCRASHES=1
R9-rule-change-snapshot|newsecondary|caught|baseEnd before what was stamped before the rule change is processed|-DNO_R9_RULE_CHANGE -DCRASHES=1
R9-acknowledged|newsecondary|caught|baseEnd before egress has what was processed before the sync|-DNO_R9_ACKNOWLEDGED -DCRASHES=1
R9-voted|newsecondary|caught|in sync before every prepare in front of baseEnd is voted|-DNO_R9_VOTED -DCRASHES=1
R9-copy-before-write|newsecondary|caught|a base entry is written after its flow was touched|-DNO_COPY_BEFORE_WRITE -DCRASHES=1
R10|takeover|caught|the primary does not keep what the NF dropped|-DNO_R10_ORIGINALS -DCRASHES=1 -DLOSSES=1
R11-freeze|migration|caught|A goes on while the state moves|-DNO_FREEZE
R11-drain|migration|caught|the state moves before A's packets are out|-DNO_DRAIN
R11-drain-acknowledged|migration|caught|released is taken for out|-DNO_DRAIN_ACKNOWLEDGED -DCRASHES=1
R11-changed|migration|caught|what has changed since the copy is not sent again|-DCOPY -DNO_CHANGED
R11-copy-drain|migration|caught|with a copy: the map is asked before A's packets are out|-DCOPY -DNO_DRAIN
R11-inert|migration|caught|B works, and the rule changes, before the map names it|-DNO_R11_INERT
R11-target-secondary|migration|caught|the map is set before B' has the state|-DNO_R11_TARGET_SECONDARY -DCRASHES=1
R11-version|migration|caught|the map is set without comparing the flow's version|-DNO_CAS_VERSION -DUNDOS=1
R11-source-epoch|migration|caught|the same, the epoch of A's pair|-DNO_CAS_SOURCE -DCRASHES=1
R11-target-epoch|migration|caught|the same, the epoch of B's pair|-DNO_CAS_TARGET -DCRASHES=1
R11-undo|migration|caught|A thaws while the proposal may still be accepted|-DNO_UNDO_VERSION -DUNDOS=1
R11-owner|migration|caught|A' takes over what was moved|-DNO_OWNER_AT_TAKEOVER -DCRASHES=1
R11-ask|migration|caught|B declares lost before A and A' have drained|-DNO_ASK
R11-ask-secondary|migration|caught|B waits for A only|-DNO_ASK_SECONDARY -DLOSSES=1
R11-ask-drained|migration|caught|"I hold nothing" counts before the rule has changed|-DNO_ASK_DRAINED
R11-settled|migration|caught|B moves on to C before A and A' have drained|-DNO_SETTLED -DPAIRS=3 -DMOVES=2
R11-secondary-forwards|migration|caught|A' does not forward|-DNO_R11_A2_FORWARDS -DLOSSES=1
R11-forward-both|migration|caught|A and A' forward to B only, and forget|-DNO_FORWARD_BOTH -DCRASHES=1
R11-keep|migration|caught|A and A' forget what they forwarded|-DNO_KEEP -DCRASHES=1 -DLOSSES=2
R12-clock|egress|caught|the new egress is not told the acknowledged clock|-DNO_R12_CLOCK -DEGRESS_FAILURES=1 -DLOSSES=1
R12-clock-first|egress|caught|the new egress lets out before it is told|-DNO_R12_CLOCK_FIRST -DEGRESS_FAILURES=1 -DLOSSES=1
R12-fence|egress|caught|an acknowledgement of the old egress counts after that|-DNO_R12_FENCE -DEGRESS_FAILURES=1 -DLOSSES=1
R12-inherited|egress|caught|a new primary forgets what its predecessor may have sent|-DNO_R12_INHERITED -DN=3 -DEGRESS_FAILURES=1 -DCRASHES=1 -DLOSSES=1
R13-resend|reconnection|caught|a new connection goes on where the old one stopped|-DNO_R13_RESEND
R13-resume|reconnection|caught|resume does not carry voted and applied|-DNO_R13_RESUME_CARRIES_VOTED
R13-idempotent|reconnection|caught|a repeated message is taken again|-DNO_R13_REPEATS_IGNORED
R13-consecutive|reconnection|caught|gaps are taken, and a log is sent before its rewind|-DNO_R13_GAP_REFUSED -DNO_R13_REWIND_FIRST
R13-epoch|reconnection|caught|messages of another epoch count|-DNO_R13_EPOCH -DRESTARTS=1 -DCUTS=1
R15|flows|caught|the NF reads what another flow wrote|-DNO_R15_OWN_FLOW -DCRASHES=1
R17-credit|newsecondary|caught|the stamper stamps without a credit|-DNO_R17_CREDIT -DCRASHES=1
R17-hold|newsecondary|caught|releases before a secondary is in sync, the map notwithstanding|-DNO_HOLD -DCRASHES=1
hold-remainder|newsecondary|caught|what was processed and not voted when the secondary died is not released|-DNO_REMAINDER -DCRASHES_C=1
vote-condition|takeover|caught|the secondary votes without the packets|-DNO_VOTE_CONDITION -DCRASHES=1 -DLOSSES=1
vote-every-flow|flows|caught|the secondary votes when it has one flow's packets|-DNO_VOTE_EVERY_FLOW -DCRASHES=1 -DLOSSES=1
occurs-lost|takeover|occurs|a lost-set is voted, then the primary is replaced, later packets leave|-DOCCURS_LOST -DSUSPICIONS=1 -DLOSSES=1
occurs-zombie|takeover|occurs|the old primary lives on beside the new one|-DOCCURS_ZOMBIE -DSUSPICIONS=1 -DLOSSES=1
occurs-third|takeover|occurs|the third node takes over and everything is out|-DOCCURS_THIRD -DN=2 -DDROP=0 -DNODES=3 -DCRASHES=2
occurs-in-doubt|flows|occurs|takeover with applied, and with released and not applied batches|-DOCCURS_IN_DOUBT -DCRASHES=1
occurs-promotion|newsecondary|occurs|the new secondary takes over, with a commit applied|-DOCCURS_PROMOTION -DCRASHES=1
occurs-second-sync|newsecondary|occurs|a second synchronisation ends and its votes release|-DOCCURS_SECOND_SYNC -DCRASHES=1 -DCRASHES_C=1
occurs-dropped|newsecondary|occurs|the source is refused for want of a credit|-DOCCURS_DROPPED -DCRASHES=1
occurs-group-lost|newsecondary|occurs|the primary dies before the secondary is in sync|-DOCCURS_LOST -DCRASHES=1
occurs-twice|egress|occurs|an ambiguous packet leaves by both egresses|-DOCCURS_TWICE -DN=3 -DEGRESS_FAILURES=1 -DCRASHES=1 -DLOSSES=1
occurs-unambiguous|egress|occurs|egress is replaced with nothing ambiguous|-DOCCURS_UNAMBIGUOUS -DEGRESS_FAILURES=1 -DLOSSES=1
occurs-second-epoch|reconnection|occurs|the second epoch commits everything after one packet of the first|-DOCCURS_SECOND_EPOCH -DRESTARTS=1 -DCUTS=2
occurs-moved|migration|occurs|moved there and back, packets after that|-DOCCURS_MOVED -DMOVES=2
occurs-copied|migration|occurs|copied and moved, packets after that|-DCOPY -DOCCURS_MOVED
occurs-undone|migration|occurs|a move is begun, A crashes, A' goes on|-DOCCURS_UNDONE -DCRASHES=1
occurs-given-up|migration|occurs|a move is given up, A goes on|-DOCCURS_UNDONE -DUNDOS=1
occurs-target-fails|migration|occurs|moved, B crashes, B' goes on|-DOCCURS_TARGET_FAILS -DCRASHES=1
occurs-crossing|migration|occurs|both flows moved, packets of both after that|-DOCCURS_MOVED -DFLOWS=2 -DN=1
ends-takeover|takeover|ends|2 packets, third node, crash|-DN=2 -DDROP=0 -DNODES=3 -DCRASHES=1
ends-takeover-loss|takeover|ends|2 packets, crash, suspicion, loss|-DN=2 -DDROP=1 -DCRASHES=1 -DSUSPICIONS=1 -DLOSSES=1
ends-flows|flows|ends|crash|-DCRASHES=1
ends-newsecondary|newsecondary|ends|3 packets, both crash|-DN=3 -DCRASHES=1 -DCRASHES_C=1
ends-egress|egress|ends|3 packets, egress and primary fail, lossy way|-DN=3 -DEGRESS_FAILURES=1 -DCRASHES=1 -DLOSSES=1
ends-reconnection|reconnection|ends|cut, restart|-DCUTS=1 -DRESTARTS=1
ends-migration|migration|ends|crash, loss, given up|-DCRASHES=1 -DLOSSES=1 -DUNDOS=1
END
}

began=$(date +%s)
lines=$scratch/lines
# -E: a state in which nothing can move is no error by itself; what must hold then is asserted behind `timeout` in init.
check() { # name model expectation what options
  directory=$scratch/$1
  rm -rf "$directory" && mkdir -p "$directory" && cp "$here/$2.pml" "$directory" && cd "$directory" || exit 1
  echo "$5" > options
  case $3 in ends) compile=-DNP; run=-l ;; *) compile=-DSAFETY; run= ;; esac
  { spin -a $5 "$2.pml" && gcc -O2 -w $compile -DCOLLAPSE -DVECTORSZ=4096 -DMEMLIM=2800 -o pan pan.c && ./pan -m1000000 -n -E $run; } > output 2>&1
  states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' output)
  depth=$(sed -n 's/.*depth reached \([0-9]*\),.*/\1/p' output)
  errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' output)
  seconds=$(sed -n 's/.*elapsed time \([0-9.]*\) seconds/\1/p' output)
  verdict=WRONG
  # A search that ran out of depth or memory proves nothing
  if ! grep -qE 'max search depth too small|reached -DMEMLIM|out of memory|search.*truncated' output; then
    case $3 in
      holds | ends) [ "${errors:-x}" = 0 ] && verdict=$3 ;;
      caught | occurs) [ "${errors:-x}" = 1 ] && grep -q 'assertion violated' output && verdict=$3 ;;
    esac
  fi
  # shellcheck disable=SC2059
  printf "$row" "$1" "$2" "${states:--}" "${depth:--}" "${seconds:--}" "${errors:--}" "$verdict" "$4"
}

row='%-24s %-13s %9s %6s %7s  %-6s %-7s %s\n'
chosen() { table | grep "^[^|]*$only"; }

# Two workers, one for each of two cores: each takes the next line that the other has not taken, and leaves what it printed in $lines.
rm -rf "$lines" && mkdir -p "$lines"
workers=
for worker in 1 2; do
  chosen | while IFS='|' read -r name model expectation what options; do
    mkdir "$lines/.$name" 2> /dev/null || continue
    (check "$name" "$model" "$expectation" "$what" "$options") > "$lines/.$name/line" < /dev/null
    mv "$lines/.$name/line" "$lines/$name"
  done &
  workers="$workers $!"
done
at_work() { for worker in $workers; do kill -0 "$worker" 2> /dev/null && return; done; false; }

# shellcheck disable=SC2059
printf "$row" name model states depth seconds errors verdict what
chosen | while IFS='|' read -r name _; do
  until [ -f "$lines/$name" ] || ! at_work; do sleep 0.1; done
  cat "$lines/$name"
done
wait
failed=$(($(chosen | wc -l) - $(cat "$lines"/* | grep -cv ' WRONG ')))
echo "$(($(date +%s) - began)) s in all, $failed not as expected; scratch in $scratch"
[ $failed = 0 ]
