/* Flows (each a flow group of its own) move between pairs while packets arrive; R8, R11. Pair p has the nodes 2p and 2p+1. The steps of one move: the source
   (with COPY first copies the state while it goes on, and later sends what has changed while it drains)
   freezes the flow, drains it (all that it processed is out and applied at its secondary), the state goes to the target, through the target's stream to its
   secondary, and then one compare-and-set of the map, on the flow's version and both pairs' epochs, which is the only commit point. Later the switch changes its
   rule. Nodes that hold what is no longer theirs forward it to both nodes of the owner.

   PAIRS=2: A to B, with MOVES=2 and back; PAIRS=3: A to B to C. FLOWS=2: crossing, the second flow starts at B. Any node may crash, but never both of a pair; there are
   no new secondaries. Ways are sets: any delay, any reordering. Way to egress: in order, lost with the host. A state is the counter up to which packets were
   processed; the others below it are lost for all, because a loss is bound by a vote (takeover.pml looks into that). */
#ifndef PAIRS
#define PAIRS 2
#endif
#ifndef FLOWS
#define FLOWS 1
#endif
#ifndef MOVES
#define MOVES 1         /* of each flow, begun */
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef LOSSES
#define LOSSES 0        /* of copies on their way to a node, forwarded ones too */
#endif
#ifndef UNDOS
#define UNDOS 0         /* moves given up without a failure */
#endif
#ifndef N
#define N 2             /* packets of each flow */
#endif
#define BIT(c) (1<<((c)-1))
#define UPTO(c) ((1<<(c))-1)
#define I(n,f) ((n)*FLOWS+(f))
#define Q(p,f) ((p)*FLOWS+(f))

/* the map: owner of each flow, its version, each pair's epoch; and the switch */
byte owner[FLOWS], version[FLOWS], epoch[PAIRS], rule[FLOWS], former[FLOWS];    /* former owner; PAIRS: none */
byte stamped[FLOWS], lost[FLOWS], out[FLOWS];
/* what happened to copies: one destroyed on a way, one was here, one died with its node */
byte destroyed[FLOWS], arrived[FLOWS], buried[FLOWS];
byte way[2*PAIRS*FLOWS], copies[2*PAIRS*FLOWS];
bool dead[2*PAIRS], alone[PAIRS], second[PAIRS], anyDead;        /* second: the pair's second node is its primary */
/* pair and flow: what the primary processes next (0: it has no state), the first that it processed and the last that it released; what the
   secondary has of it */
byte next[PAIRS*FLOWS], from[PAIRS*FLOWS], released[PAIRS*FLOWS], applied[PAIRS*FLOWS];
bool frozen[PAIRS*FLOWS];
/* the move under way, and the proposal that may still be in the hands of the consensus engine after the move was given up */
mtype = { none, copying, freezing, atTarget, atBoth, proposed };
mtype move[FLOWS];
byte source[FLOWS], target[FLOWS], moved[FLOWS], copied[FLOWS], moves[FLOWS], ifVersion[FLOWS], ifSource[FLOWS], ifTarget[FLOWS];
bool flying[FLOWS], refused[FLOWS], hasSecond[FLOWS];
byte crashes=CRASHES, losses=LOSSES, undos=UNDOS, committed;

#define PRIMARY(p) (2*(p)+second[p])
#define SECONDARY(p) (2*(p)+1-second[p])
#define BELOW(c) ((c)>0 -> UPTO((c)-1) : 0)
#define COVERED(n,f) ((n)==PRIMARY((n)/2) -> BELOW(next[Q((n)/2,f)]) : BELOW(applied[Q((n)/2,f)]))
#define HAS(n,f) (dead[n] -> UPTO(N) : copies[I(n,f)]|COVERED(n,f))
/* Everything that p has processed of the flow is out */
#define ACKNOWLEDGED(p,f) ((UPTO(next[Q(p,f)]-1)&~UPTO(out[f])&~lost[f])==0)

#ifdef NO_FREEZE        /* the source goes on while the state moves */
#define FROZEN(p,f) 0
#else
#define FROZEN(p,f) frozen[Q(p,f)]
#endif
#ifdef NO_DRAIN         /* the state moves with what was processed and may not be out */
#define DRAINED(p,f) 1
#else
#ifdef NO_DRAIN_ACKNOWLEDGED
#define DRAINED(p,f) (released[Q(p,f)]==next[Q(p,f)]-1)
#else
#ifdef NO_DRAIN_COMMITTED
#define DRAINED(p,f) ACKNOWLEDGED(p,f)
#else
#define DRAINED(p,f) (ACKNOWLEDGED(p,f) && (alone[p] || applied[Q(p,f)]==next[Q(p,f)]))
#endif
#endif
#endif
#ifdef NO_R11_INERT     /* the target works as soon as it has the state */
#define WORKS(p,f) (owner[f]==p || ((move[f]==atTarget || move[f]==atBoth) && target[f]==p))
#else
#ifdef NO_OWNER_AT_TAKEOVER /* a successor takes all flows that its secondary had, moved ones too */
#define WORKS(p,f) (owner[f]==p || (alone[p] && second[p] && applied[Q(p,f)]>0))
#else
#define WORKS(p,f) (owner[f]==p)
#endif
#endif
#ifdef COPY             /* the state is copied while packets are processed; what has changed is sent when the flow is frozen, while it drains */
#define FIRST copying
#define HAS_DRAINED(f) DRAINED(source[f],f)
#define MAY_SEND(f) 1
#else
#define FIRST freezing
#define HAS_DRAINED(f) 1
#define MAY_SEND(f) DRAINED(source[f],f)
#endif
#ifdef NO_CHANGED       /* the copy is taken for the state */
#define SENT(f) copied[f]
#else
#define SENT(f) next[Q(source[f],f)]
#endif
#ifdef NO_R11_TARGET_SECONDARY  /* proposed before the target's secondary has the state */
#define READY(f) (move[f]==atTarget || move[f]==atBoth)
#else
#define READY(f) (move[f]==atBoth)
#endif
#ifdef NO_CAS_VERSION
#define SAME_VERSION(f) 1
#else
#define SAME_VERSION(f) (version[f]==ifVersion[f])
#endif
#ifdef NO_CAS_SOURCE
#define SAME_SOURCE(f) 1
#else
#define SAME_SOURCE(f) (epoch[source[f]]==ifSource[f])
#endif
#ifdef NO_CAS_TARGET
#define SAME_TARGET(f) 1
#else
#define SAME_TARGET(f) (epoch[target[f]]==ifTarget[f])
#endif
#ifdef NO_UNDO_VERSION  /* given up although the proposal may still be accepted */
#define GIVE_UP(f) skip
#else
#define GIVE_UP(f) version[f]++
#endif
#ifdef NO_R8_FORWARD
#define FORWARDS(n) ((n)!=PRIMARY((n)/2))
#else
#ifdef NO_R11_A2_FORWARDS
#define FORWARDS(n) ((n)==PRIMARY((n)/2))
#else
#define FORWARDS(n) 1
#endif
#endif
#ifdef NO_FORWARD_BOTH  /* to the owner's primary only */
#define WANTS(n,f) ((n)==PRIMARY((n)/2) && !dead[n])
#else
#define WANTS(n,f) (!dead[n])
#endif
#define BOTH_HAVE(f) ((WANTS(2*owner[f],f) -> HAS(2*owner[f],f) : UPTO(N)) & (WANTS(2*owner[f]+1,f) -> HAS(2*owner[f]+1,f) : UPTO(N)))
#ifdef NO_KEEP          /* what was forwarded is forgotten, though the way may lose it */
#define KEPT(n,f) 0
#else
#define KEPT(n,f) (copies[I(n,f)] & ~BOTH_HAVE(f))
#endif
/* A node of the former owner has drained to the rule change: nothing comes to it any more, and it has forwarded all that came. The map says who has, or is dead;
   until then the new owner inherits: it declares nothing lost, and does not move the flow on. */
#ifdef NO_ASK_DRAINED   /* "I hold nothing now" */
#define DRAINED_TO_RULE(n,f) (dead[n] || copies[I(n,f)]==0)
#else
#define DRAINED_TO_RULE(n,f) (dead[n] || (rule[f]!=(n)/2 && (way[I(n,f)]|copies[I(n,f)])==0))
#endif
#define HAS_INHERITED(f) (former[f]==PAIRS || (DRAINED_TO_RULE(2*former[f],f) && DRAINED_TO_RULE(2*former[f]+1,f)))
#ifdef NO_ASK
#define MAY_LOSE(f) 1
#else
#ifdef NO_ASK_SECONDARY
#define MAY_LOSE(f) (former[f]==PAIRS || DRAINED_TO_RULE(PRIMARY(former[f]),f))
#else
#define MAY_LOSE(f) HAS_INHERITED(f)
#endif
#endif
#ifdef NO_SETTLED       /* moved on while the owner inherits, from one that only the owner before knows */
#define MAY_BEGIN(f) 1
#else
#define MAY_BEGIN(f) HAS_INHERITED(f)
#endif
/* older than gapTimeout at both nodes of the pair */
#define NOT_HERE(p,f,c) (((copies[I(2*(p),f)]|way[I(2*(p),f)]|copies[I(2*(p)+1,f)]|way[I(2*(p)+1,f)])&BIT(c))==0)
#define GONE(n,f,c) (dead[n] || ((copies[I(n,f)]|way[I(n,f)])&BIT(c))==0)
#define TRULY_GONE(f,c) (GONE(0,f,c) && GONE(1,f,c) && GONE(2,f,c) && GONE(3,f,c) && (PAIRS<3 || (GONE(2*PAIRS-2,f,c) && GONE(2*PAIRS-1,f,c))))

#define ARRIVES(c) :: d_step { (way[I(n,f)]&BIT(c))!=0 -> way[I(n,f)]=way[I(n,f)]&~BIT(c); \
      arrived[f]=arrived[f]|BIT(c); \
      if :: n/2==owner[f] && (COVERED(n,f)&BIT(c))!=0 -> skip :: else -> copies[I(n,f)]=copies[I(n,f)]|BIT(c) fi } \
  :: d_step { (way[I(n,f)]&BIT(c))!=0 && losses>0 -> losses--; way[I(n,f)]=way[I(n,f)]&~BIT(c); destroyed[f]=destroyed[f]|BIT(c) }
#define SEND(t) if :: WANTS(t,f) -> way[I(t,f)]=way[I(t,f)]|(copies[I(n,f)]&~HAS(t,f)) :: else fi
#define LACKS(t) (WANTS(t,f) && (copies[I(n,f)]&~HAS(t,f)&~way[I(t,f)])!=0)
proctype Node(byte n; byte f) { do
   ARRIVES(1) ARRIVES(2)
#if N>2
   ARRIVES(3)
#endif
   /* not the owner's: what it holds and what still comes goes to both nodes of the owner, until they have it */
   :: d_step { owner[f]!=n/2 && !dead[n] && FORWARDS(n) && (LACKS(2*owner[f]) || LACKS(2*owner[f]+1)) -> SEND(2*owner[f]); SEND(2*owner[f]+1); copies[I(n,f)]=KEPT(n,f) }
   :: d_step { owner[f]!=n/2 && !dead[n] && (copies[I(n,f)]&BOTH_HAVE(f))!=0 -> copies[I(n,f)]=copies[I(n,f)]&~BOTH_HAVE(f) }
od }

#define LIVE (!dead[PRIMARY(p)] && next[Q(p,f)]>0)
#define IN_TURN (LIVE && WORKS(p,f) && !FROZEN(p,f) && next[Q(p,f)]<=N)
#define HELD(n,c) ((copies[I(n,f)]&BIT(c))!=0)
proctype Pair(byte p; byte f) { do
   :: d_step { IN_TURN && HELD(PRIMARY(p),next[Q(p,f)]) && (lost[f]&BIT(next[Q(p,f)]))==0 -> assert(owner[f]==p); next[Q(p,f)]++ }
   :: d_step { IN_TURN && (lost[f]&BIT(next[Q(p,f)]))!=0 -> next[Q(p,f)]++ }
   /* voted: the secondary holds it; what it lacks, and what the primary lacks, each gets of the other */
   :: d_step { LIVE && released[Q(p,f)]<next[Q(p,f)]-1 && (alone[p] || (lost[f]&BIT(released[Q(p,f)]+1))!=0 || applied[Q(p,f)]>released[Q(p,f)]+1
        || HELD(SECONDARY(p),released[Q(p,f)]+1)) -> released[Q(p,f)]++ }
   :: d_step { LIVE && !alone[p] && !dead[SECONDARY(p)] && (copies[I(PRIMARY(p),f)]&UPTO(next[Q(p,f)]-1)&~copies[I(SECONDARY(p),f)]&~UPTO(applied[Q(p,f)]-1))!=0 ->
        copies[I(SECONDARY(p),f)]=copies[I(SECONDARY(p),f)]|(copies[I(PRIMARY(p),f)]&UPTO(next[Q(p,f)]-1)&~UPTO(applied[Q(p,f)]-1)) }
   :: d_step { IN_TURN && !HELD(PRIMARY(p),next[Q(p,f)]) && !alone[p] && HELD(SECONDARY(p),next[Q(p,f)]) -> copies[I(PRIMARY(p),f)]=copies[I(PRIMARY(p),f)]|BIT(next[Q(p,f)]) }
   /* a gap; the secondary reports what only it has (R4) */
   :: d_step { IN_TURN && ((copies[I(PRIMARY(p),f)]|copies[I(SECONDARY(p),f)])&~UPTO(next[Q(p,f)]))!=0 && (lost[f]&BIT(next[Q(p,f)]))==0 && NOT_HERE(p,f,next[Q(p,f)]) && MAY_LOSE(f) ->
        assert(owner[f]==p && TRULY_GONE(f,next[Q(p,f)]) && out[f]<next[Q(p,f)]); lost[f]=lost[f]|BIT(next[Q(p,f)]); next[Q(p,f)]++ }
   /* egress, in chain order */
   :: d_step { LIVE && out[f]<N && (lost[f]&BIT(out[f]+1))!=0 && out[f]+1<next[Q(p,f)] -> out[f]++ }
   :: d_step { LIVE && out[f]+1>=from[Q(p,f)] && out[f]+1<=released[Q(p,f)] -> out[f]++ }
   /* the state of what egress has acknowledged; it frees the copies */
   :: d_step { LIVE && (alone[p] || !dead[SECONDARY(p)]) && WORKS(p,f) && ACKNOWLEDGED(p,f) && applied[Q(p,f)]<next[Q(p,f)] -> applied[Q(p,f)]=next[Q(p,f)];
        copies[I(PRIMARY(p),f)]=copies[I(PRIMARY(p),f)]&~UPTO(next[Q(p,f)]-1); copies[I(SECONDARY(p),f)]=copies[I(SECONDARY(p),f)]&~UPTO(next[Q(p,f)]-1) }
od }

#if PAIRS>2
#define ONWARD(p) (p)+1
#else
#define ONWARD(p) 1-(p)
#endif
#define UNCHANGED (epoch[source[f]]==ifSource[f] && epoch[target[f]]==ifTarget[f])
#define ALIVE(p) (!dead[PRIMARY(p)])
proctype Mover(byte f) { do
   :: d_step { move[f]==none && !flying[f] && moves[f]<MOVES && MAY_BEGIN(f) && ALIVE(owner[f]) && ALIVE(ONWARD(owner[f])) -> moves[f]++; move[f]=FIRST; copied[f]=0;
        source[f]=owner[f]; target[f]=ONWARD(owner[f]); ifVersion[f]=version[f]; ifSource[f]=epoch[source[f]]; ifTarget[f]=epoch[target[f]]; frozen[Q(source[f],f)]=(move[f]==freezing) }
#ifdef COPY
   :: d_step { move[f]==copying && copied[f]==0 && UNCHANGED && ALIVE(source[f]) && ALIVE(target[f]) -> copied[f]=next[Q(source[f],f)] }
   :: d_step { move[f]==copying && copied[f]!=0 && UNCHANGED && ALIVE(source[f]) -> move[f]=freezing; frozen[Q(source[f],f)]=1 }
#endif
   :: d_step { move[f]==freezing && UNCHANGED && ALIVE(source[f]) && ALIVE(target[f]) && MAY_SEND(f) -> move[f]=atTarget; moved[f]=SENT(f);
#ifdef NO_R11_INERT
        next[Q(target[f],f)]=moved[f]; from[Q(target[f],f)]=moved[f]; released[Q(target[f],f)]=moved[f]-1;
#endif
        }
   :: d_step { move[f]==atTarget && UNCHANGED && ALIVE(source[f]) && ALIVE(target[f]) -> move[f]=atBoth }
   :: d_step { READY(f) && HAS_DRAINED(f) && (alone[target[f]] || !dead[SECONDARY(target[f])]) -> hasSecond[f]=(move[f]==atBoth); move[f]=proposed; flying[f]=1 }
   /* the commit point; whoever leads may complete it, whoever lives */
   :: d_step { flying[f] -> flying[f]=0;
        if :: SAME_VERSION(f) && SAME_SOURCE(f) && SAME_TARGET(f) -> former[f]=owner[f]; owner[f]=target[f]; version[f]++; move[f]=none; frozen[Q(source[f],f)]=0; committed++;
             if :: epoch[target[f]]==ifTarget[f] || alone[target[f]]==0 -> next[Q(target[f],f)]=moved[f]; from[Q(target[f],f)]=moved[f]; released[Q(target[f],f)]=moved[f]-1;
                  applied[Q(target[f],f)]=(hasSecond[f] -> moved[f] : 0)
                :: else -> next[Q(target[f],f)]=0       /* a successor has thrown away what was inert */
             fi;
           :: else -> refused[f]=(move[f]==proposed)
        fi }
   /* undone: the source thaws, the target throws away */
   :: d_step { refused[f] -> refused[f]=0; move[f]=none; frozen[Q(source[f],f)]=0 }
   :: d_step { (move[f]==copying || move[f]==freezing || move[f]==atTarget || move[f]==atBoth) && (!UNCHANGED || undos>0) -> if :: UNCHANGED -> undos-- :: else fi; move[f]=none; frozen[Q(source[f],f)]=0 }
   :: d_step { move[f]==proposed && flying[f] && undos>0 -> undos--; GIVE_UP(f); move[f]=none; frozen[Q(source[f],f)]=0 }
od }

#define TAKES_OVER(f) next[Q(p,f)]=applied[Q(p,f)]; released[Q(p,f)]=applied[Q(p,f)]-1; from[Q(p,f)]=applied[Q(p,f)]; frozen[Q(p,f)]=0
#define DIES(f) buried[f]=buried[f]|copies[I(n,f)]|way[I(n,f)]; copies[I(n,f)]=0; way[I(n,f)]=0
proctype Failures(byte p) { byte n; do
   :: d_step { crashes>0 && !alone[p] && !dead[2*p] && !dead[2*p+1] -> crashes--; anyDead=1; n=2*p; dead[n]=1; DIES(0);
#if FLOWS>1
        DIES(1);
#endif
        n=0 }
   :: d_step { crashes>0 && !alone[p] && !dead[2*p] && !dead[2*p+1] -> crashes--; anyDead=1; n=2*p+1; dead[n]=1; DIES(0);
#if FLOWS>1
        DIES(1);
#endif
        n=0 }
   /* each is a new epoch: the secondary takes over from the last state that was applied, or the primary goes on alone */
   :: d_step { !alone[p] && dead[PRIMARY(p)] -> second[p]=1-second[p]; alone[p]=1; epoch[p]++; TAKES_OVER(0);
#if FLOWS>1
        TAKES_OVER(1);
#endif
        }
   :: d_step { !alone[p] && dead[SECONDARY(p)] -> alone[p]=1; epoch[p]++ }
od }

#define GOES(t) if :: !dead[t] -> way[I(t,f)]=way[I(t,f)]|BIT(stamped[f]) :: else fi
proctype Stamper(byte f) { do
   :: d_step { stamped[f]<N -> stamped[f]++; GOES(2*rule[f]); GOES(2*rule[f]+1) }
   :: d_step { rule[f]!=owner[f] -> rule[f]=owner[f] }
#ifdef NO_R11_INERT
   :: d_step { move[f]==atBoth && rule[f]!=target[f] -> rule[f]=target[f] }
#endif
od }

hidden byte c0, f0, n0;
init { atomic {
     f0=0; do :: f0<FLOWS -> owner[f0]=f0; rule[f0]=f0; former[f0]=PAIRS; next[Q(f0,f0)]=1; applied[Q(f0,f0)]=1; from[Q(f0,f0)]=1; move[f0]=none;
       run Stamper(f0); run Mover(f0); n0=0; do :: n0<2*PAIRS -> run Node(n0,f0); n0++ :: else -> break od;
       n0=0; do :: n0<PAIRS -> run Pair(n0,f0); n0++ :: else -> break od; f0++ :: else -> break od;
     f0=0; do :: f0<PAIRS -> if :: CRASHES>0 -> run Failures(f0) :: else fi; f0++ :: else -> break od; f0=0; n0=0 };
  timeout;
  /* OCCURS_...: asserts that this never happens, to be shown wrong: the faults and the changes really take place */
#ifdef OCCURS_MOVED
  assert(!(committed==FLOWS*MOVES && out[0]==N && out[FLOWS-1]==N && next[Q(owner[0],0)]>moved[0] && next[Q(owner[FLOWS-1],FLOWS-1)]>moved[FLOWS-1]));
#endif
#ifdef OCCURS_UNDONE
  assert(!(moves[0]==MOVES && committed==0 && (CRASHES>0 -> second[owner[0]] : 1) && out[0]==N));
#endif
#ifdef OCCURS_TARGET_FAILS
  assert(!(committed>0 && second[owner[0]] && out[0]==N && moved[0]>1));
#endif
  d_step { f0=0; do :: f0<FLOWS ->
       assert(move[f0]==none && !frozen[Q(owner[f0],f0)]);
       c0=1; do :: c0<=N -> assert((c0<=out[f0] && (lost[f0]&BIT(c0))==0) || (destroyed[f0]&(buried[f0]|~arrived[f0])&BIT(c0))!=0); c0++ :: else -> break od;
       if :: !anyDead -> assert(applied[Q(owner[f0],f0)]==next[Q(owner[f0],f0)]) :: else fi;
       n0=0; do :: n0<2*PAIRS -> assert(dead[n0] || n0/2==owner[f0] || copies[I(n0,f0)]==0); n0++ :: else -> break od;
       f0++ :: else -> break od }
}
