/* One flow, from stamper to egress, across one takeover (NODES=2) or two with a third node brought up in between (NODES=3).
   Node k is the primary of epoch k, node k+1 its secondary.

   Packets are counters 1..N; a set of them is a bit mask. Ways of packets (stamper to node, node to egress) are sets: any delay, any
   reordering. The control connection is TCP: a message is sent when its number grows at the sender and read when it grows at the reader, so what is
   delivered is always a prefix, and a crash or a promise (R6) loses the rest. reconnection.pml looks into the cuts of a connection that lives on.

   Every rule is on unless it is left out with -DNO_...; bounds and faults are set with -D as well (see check.sh). */
#ifndef N
#define N 3             /* packets */
#endif
#ifndef NODES
#define NODES 2
#endif
#ifndef DROP
#define DROP 2          /* mask of counters that the NF does not pass */
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef SUSPICIONS
#define SUSPICIONS 0    /* takeovers from a primary that lives */
#endif
#ifndef LOSSES
#define LOSSES 0        /* copies destroyed between stamper and nodes */
#endif
#ifndef EGRESS_LOSSES
#define EGRESS_LOSSES 0 /* packets destroyed between node and egress */
#endif
#ifndef DUPLICATES
#define DUPLICATES 0
#endif
#define WINDOW 2
#define BATCH 2

#define BIT(c) (1<<((c)-1))
#define UPTO(c) ((1<<(c))-1)                 /* all counters up to c */
#define AT(k,t) ((k)*(N+1)+(t))              /* batch t of epoch k */
#define PASSED(set) ((set)&~(DROP))
#define LAST (NODES-1)                       /* the last epoch has no secondary: policy `release`, as the map says (R7) */

/* stamper and map */
byte stamped, switched, epoch, atRuleChange;
/* faults still to come, and what happened */
byte crashes=CRASHES, suspicions=SUSPICIONS, losses=LOSSES, egressLosses=EGRESS_LOSSES, duplicates=DUPLICATES;
byte destroyed[3];
bool anyCrash;
/* nodes */
byte way[3], copies[3], next[3], state[3], lost[3], boundLost[3], toEgress[3];
bool primary[3], dead[3], inSync, snapshot;
/* the streams of epoch k, as numbers of batches: closed, prepares read, voted, votes read, released, commits sent, commits applied */
byte closed[2], prepared[2], voted[2], learned[2], released[2], committed[2], applied[2];
byte closedNext[2];
byte clock[2*(N+1)], stateOf[2*(N+1)], lostOf[2*(N+1)], commitState[2*(N+1)];
byte inherited;                              /* last counter that the first primary had voted for when it was replaced */
/* egress, and what the world has seen */
byte out, lastOut, history;

hidden byte h, owner, c0;
hidden byte excused;

/* The world sees counter c of node k: once, in order, and from one history only: what the node's state had seen before c agrees
   with what the state of whoever released the packet before had seen. */
inline transmit(k,c) {
  h = state[k] & UPTO(c);
  assert((h & UPTO(lastOut)) == history || lastOut==0);
  assert((out & BIT(c))==0);
  assert(c>lastOut);
  out=out|BIT(c); lastOut=c; history=h; h=0 }

#define ALIVE(k) (primary[k] && !dead[k])
#define REPLICATED(k) ((k)!=LAST)
#define HELD(k,c) ((copies[k]&BIT(c))!=0)
#define BOUND(k,c) ((boundLost[k]&BIT(c))!=0)
#define GAP(k) (next[k]<=N && !HELD(k,next[k]) && (copies[k]&~UPTO(next[k]))!=0 && !BOUND(k,next[k]))
#define ROOM(k) (!REPLICATED(k) || next[k]-1-closedNext[k]<BATCH)
#define MISSING(k,t) (UPTO(clock[AT(k,t)]) & ~UPTO(next[k+1]-1) & ~copies[k+1] & ~lostOf[AT(k,t)])

#ifdef NO_R1_CHAIN  /* egress takes whatever is above the last it let out */
#define IN_CHAIN(k,c) 1
#else               /* the packet names the flow's previous passed counter: nothing that its node passed lies in between */
#define IN_CHAIN(k,c) (c<=lastOut || (PASSED(state[k])&UPTO(c-1)&~UPTO(lastOut))==0)
#endif
#ifdef NO_R2_ACKNOWLEDGEMENT
#define ACKNOWLEDGED(k,t) 1
#else
#define ACKNOWLEDGED(k,t) ((PASSED(stateOf[AT(k,t)]) & UPTO(clock[AT(k,t)]) & ~UPTO(lastOut))==0)
#endif
#ifdef NO_R3_STATE_OF_BATCH
#define COMMIT_STATE(k,t) state[k]
#else
#define COMMIT_STATE(k,t) stateOf[AT(k,t)]
#endif
#ifdef NO_R6_PROMISE
#define READS(k) 1
#else
#define READS(k) !primary[k+1]
#endif
#ifdef NO_R7_MAP    /* "I think that my secondary is dead" */
#define UNPROTECTED(k) (released[k]<closed[k])
#else
#define UNPROTECTED(k) 0
#endif
#ifdef NO_R9_IN_SYNC
#define PROMOTABLE 1
#else
#define PROMOTABLE inSync
#endif
#ifdef NO_R9_RULE_CHANGE
#define STAMPED_BEFORE_HELD 1
#else
#define STAMPED_BEFORE_HELD (switched==1 && (UPTO(atRuleChange) & ~UPTO(next[2]-1) & ~copies[2] & ~boundLost[2])==0)
#endif
#ifdef NO_R10_ORIGINALS /* the primary keeps passed packets only */
#define KEPT ~(DROP)
#else
#define KEPT ~0
#endif
#ifdef NO_VOTE_CONDITION
#define HOLDS_ALL(k,t) 1
#else
#define HOLDS_ALL(k,t) (MISSING(k,t)==0)
#endif

proctype Primary(byte k) { do
   /* in order: the NF */
   :: d_step { ALIVE(k) && next[k]<=N && HELD(k,next[k]) && !BOUND(k,next[k]) && ROOM(k) ->
        assert((state[k]&BIT(next[k]))==0);       /* no packet applied twice to one state */
        state[k]=state[k]|BIT(next[k]);
        /* without secondary: at once. After a takeover: at once as well as far as it was voted, for it may have left already */
        if :: !REPLICATED(k) || (k>0 && next[k]<=inherited) -> toEgress[k]=toEgress[k]|PASSED(BIT(next[k])) :: else fi;
        next[k]++ }
   /* a voted lost-set is binding (R5), a copy of it that comes late notwithstanding */
   :: d_step { ALIVE(k) && next[k]<=N && BOUND(k,next[k]) && ROOM(k) -> lost[k]=lost[k]|BIT(next[k]); copies[k]=copies[k]&~BIT(next[k]); next[k]++ }
   /* a gap: ask the secondary; if it has not got it either, lost for both */
   :: d_step { ALIVE(k) && GAP(k) && REPLICATED(k) && !dead[k+1] && HELD(k+1,next[k]) -> copies[k]=copies[k]|BIT(next[k]) }
   :: d_step { ALIVE(k) && GAP(k) && ROOM(k) && (!REPLICATED(k) || dead[k+1] || !HELD(k+1,next[k])) -> lost[k]=lost[k]|BIT(next[k]); next[k]++ }
   :: d_step { ALIVE(k) && REPLICATED(k) && next[k]-1>closedNext[k] && closed[k]-committed[k]<WINDOW ->
        closed[k]++; clock[AT(k,closed[k])]=next[k]-1; stateOf[AT(k,closed[k])]=state[k]; lostOf[AT(k,closed[k])]=lost[k]; closedNext[k]=next[k]-1 }
   :: d_step { ALIVE(k) && REPLICATED(k) && learned[k]<voted[k] -> learned[k]++ }
   :: d_step { ALIVE(k) && REPLICATED(k) && (released[k]<learned[k] || UNPROTECTED(k)) -> released[k]++;
        toEgress[k]=toEgress[k] | (PASSED(stateOf[AT(k,released[k])]) & UPTO(clock[AT(k,released[k])]) & ~UPTO(clock[AT(k,released[k]-1)])) }
   :: d_step { ALIVE(k) && REPLICATED(k) && committed[k]<released[k] && ACKNOWLEDGED(k,committed[k]+1) -> committed[k]++;
        commitState[AT(k,committed[k])]=COMMIT_STATE(k,committed[k]) }
   /* the secondary asked for what a prepare covers and it has not got: originals (R10) */
   :: d_step { ALIVE(k) && REPLICATED(k) && (k==0 || snapshot) && !primary[k+1] && !dead[k+1] && voted[k]<prepared[k] && (MISSING(k,voted[k]+1) & KEPT)!=0 ->
        copies[k+1]=copies[k+1] | (MISSING(k,voted[k]+1) & KEPT) }
#ifndef NO_R4_UNCOVERED
   :: d_step { ALIVE(k) && REPLICATED(k) && !primary[k+1] && !dead[k+1] && (copies[k+1] & ~copies[k] & ~UPTO(next[k]-1))!=0 ->
        copies[k]=copies[k]|(copies[k+1] & ~UPTO(next[k]-1)) }
#endif
#ifndef NO_R8_FORWARD
   /* not the owner any more: what it has goes to the owner */
   :: d_step { REPLICATED(k) && ALIVE(k) && ALIVE(k+1) && (copies[k] & ~copies[k+1] & ~UPTO(next[k+1]-1) & ~boundLost[k+1])!=0 ->
        copies[k+1]=copies[k+1]|(copies[k] & ~UPTO(next[k+1]-1) & ~boundLost[k+1]) }
#endif
#ifndef NO_R2_RETRANSMISSION
   :: d_step { ALIVE(k) && !REPLICATED(k) && (PASSED(state[k]) & copies[k] & ~UPTO(lastOut) & ~toEgress[k])!=0 ->
        toEgress[k]=toEgress[k] | (PASSED(state[k]) & copies[k] & ~UPTO(lastOut)) }
   :: d_step { ALIVE(k) && REPLICATED(k) && (PASSED(stateOf[AT(k,released[k])]) & copies[k] & UPTO(clock[AT(k,released[k])]) & ~UPTO(lastOut) & ~toEgress[k])!=0 ->
        toEgress[k]=toEgress[k] | (PASSED(stateOf[AT(k,released[k])]) & copies[k] & UPTO(clock[AT(k,released[k])]) & ~UPTO(lastOut)) }
   :: d_step { ALIVE(k) && REPLICATED(k) && k>0 && (PASSED(state[k]) & copies[k] & UPTO(inherited) & ~UPTO(lastOut) & ~toEgress[k])!=0 ->
        toEgress[k]=toEgress[k] | (PASSED(state[k]) & copies[k] & UPTO(inherited) & ~UPTO(lastOut)) }
#endif
od }

#define LISTENS(k) (!dead[k+1] && READS(k) && ((k)==0 || (snapshot && primary[1])))
proctype Secondary(byte k) { do
   :: d_step { LISTENS(k) && prepared[k]<closed[k] -> prepared[k]++ }
   :: d_step { LISTENS(k) && voted[k]<prepared[k] && HOLDS_ALL(k,voted[k]+1) -> voted[k]++;
#ifndef NO_R5_BINDING
        boundLost[k+1]=boundLost[k+1]|lostOf[AT(k,voted[k])]; copies[k+1]=copies[k+1]&~lostOf[AT(k,voted[k])];
#endif
        }
   :: d_step { !dead[k+1] && !primary[k+1] && ((k)==0 || (snapshot && primary[1])) && applied[k]<committed[k] && applied[k]<voted[k] -> applied[k]++;
        state[k+1]=commitState[AT(k,applied[k])]; lost[k+1]=lostOf[AT(k,applied[k])];
        next[k+1]=clock[AT(k,applied[k])]+1; copies[k+1]=copies[k+1]&~UPTO(next[k+1]-1) }
od }

#define ARRIVES(c) :: d_step { (toEgress[k]&BIT(c))!=0 && IN_CHAIN(k,c) -> toEgress[k]=toEgress[k]&~BIT(c); if :: c>lastOut -> transmit(k,c) :: else fi } \
  :: d_step { (toEgress[k]&BIT(c))!=0 && egressLosses>0 -> egressLosses--; toEgress[k]=toEgress[k]&~BIT(c) } \
  :: d_step { (toEgress[k]&BIT(c))!=0 && dead[k] -> toEgress[k]=toEgress[k]&~BIT(c) } /* in the dead host's transmit ring */
proctype Egress(byte k) { do
ARRIVES(1)
ARRIVES(2)
#if N>2
ARRIVES(3)
#endif
od }

#define REACHES(c) :: d_step { (way[k]&BIT(c))!=0 -> way[k]=way[k]&~BIT(c); if :: !dead[k] && c>=next[k] && !BOUND(k,c) -> copies[k]=copies[k]|BIT(c) :: else fi } \
  :: d_step { (way[k]&BIT(c))!=0 && losses>0 -> losses--; way[k]=way[k]&~BIT(c); destroyed[k]=destroyed[k]|BIT(c) } \
  :: d_step { (way[k]&BIT(c))!=0 && duplicates>0 -> duplicates--; if :: !dead[k] && c>=next[k] && !BOUND(k,c) -> copies[k]=copies[k]|BIT(c) :: else fi }
proctype Way(byte k) { do
REACHES(1)
REACHES(2)
#if N>2
REACHES(3)
#endif
od }

proctype Environment() { do
   :: d_step { stamped<N -> stamped++; way[switched]=way[switched]|BIT(stamped);
        if :: switched<LAST -> way[switched+1]=way[switched+1]|BIT(stamped) :: else fi }
   :: d_step { switched<epoch -> switched=epoch; atRuleChange=stamped }

   /* takeover: node 1 promises epoch 1, reads and votes nothing of epoch 0 from here on (R6) */
   :: d_step { epoch==0 && !dead[1] && (dead[0] || suspicions>0) ->
        if :: !dead[0] -> suspicions-- :: else fi;
        epoch=1; primary[1]=1; inherited=clock[AT(0,voted[0])];
        if :: REPLICATED(1) -> clock[AT(1,0)]=next[1]-1; commitState[AT(1,0)]=state[1]; lostOf[AT(1,0)]=lost[1]; stateOf[AT(1,0)]=state[1]; closedNext[1]=next[1]-1 :: else fi }
   /* node 2: snapshot of the last committed state, then the copies in flight, then it may vote, then it is in sync */
   :: d_step { NODES>2 && ALIVE(1) && !snapshot && !primary[2] -> snapshot=1;
        if :: committed[1]>0 -> state[2]=stateOf[AT(1,committed[1])]; next[2]=clock[AT(1,committed[1])]+1; lost[2]=lostOf[AT(1,committed[1])]
           :: else -> state[2]=commitState[AT(1,0)]; next[2]=clock[AT(1,0)]+1; lost[2]=lostOf[AT(1,0)] fi;
        copies[2]=copies[2]&~UPTO(next[2]-1); prepared[1]=committed[1]; voted[1]=committed[1]; applied[1]=committed[1] }
   :: d_step { NODES>2 && snapshot && ALIVE(1) && !primary[2] && (copies[1] & ~copies[2] & ~UPTO(next[2]-1) & ~lost[1])!=0 ->
        copies[2]=copies[2]|(copies[1] & ~UPTO(next[2]-1) & ~lost[1]) }
   :: d_step { NODES>2 && snapshot && !inSync && ALIVE(1) && STAMPED_BEFORE_HELD -> inSync=1 }
   :: d_step { NODES>2 && epoch==1 && !dead[2] && dead[1] && PROMOTABLE -> epoch=2; primary[2]=1 }

   /* faults; the last line of each kind: it does not happen. Both replicas of a group never die together. */
   :: d_step { crashes>0 && primary[0] && !primary[1] && !dead[0] && !dead[1] -> crashes--; dead[0]=1; anyCrash=1 }
   :: d_step { crashes>0 && NODES>2 && primary[1] && !primary[2] && !dead[1] && PROMOTABLE -> crashes--; dead[1]=1; anyCrash=1 }
   :: d_step { crashes>0 -> crashes=0 }
   :: d_step { losses>0 -> losses=0 }
   :: d_step { duplicates>0 -> duplicates=0 }
   :: d_step { egressLosses>0 -> egressLosses=0 }
   :: d_step { suspicions>0 -> suspicions=0 }
od }

init {
  atomic { primary[0]=1; next[0]=1; next[1]=1; next[2]=1;
    run Environment(); run Primary(0); run Primary(1); run Secondary(0); run Way(0); run Way(1); run Egress(0); run Egress(1);
    if :: NODES>2 -> run Primary(2); run Secondary(1); run Way(2); run Egress(2) :: else fi };
  timeout;
  /* OCCURS_...: asserts that this never happens, to be shown wrong: the faults and the changes really take place */
#ifdef OCCURS_LOST
  assert(!(primary[1] && boundLost[1]!=0 && (out&4)!=0));
#endif
#ifdef OCCURS_ZOMBIE
  assert(!(ALIVE(0) && ALIVE(1) && committed[0]>0 && (out&4)!=0));
#endif
#ifdef OCCURS_THIRD
  assert(!(primary[2] && dead[0] && dead[1] && out==3 && committed[1]>0));
#endif
  /* nothing can move any more: every passed packet is out, or there is a reason that holds for both replicas */
  d_step { owner = (primary[2] -> 2 : (primary[1] -> 1 : 0)); c0=1;
    do :: c0>N -> break
       :: else -> if :: (out&BIT(c0))!=0 || (DROP&BIT(c0))!=0 -> skip
            :: else ->
                 excused = 0;
                 if :: ((destroyed[0]|destroyed[1]|destroyed[2])&BIT(c0))!=0 && anyCrash -> excused=1 :: else fi; /* one copy destroyed, the other crashed */
                 if :: (destroyed[0]&BIT(c0))!=0 && (destroyed[1]&BIT(c0))!=0 -> excused=1 :: else fi;           /* both copies destroyed */
                 if :: (lost[owner]&BIT(c0))!=0 -> excused=1 :: else fi;                                         /* declared lost, gapTimeout being short */
                 if :: switched==LAST && c0>atRuleChange && (destroyed[LAST]&BIT(c0))!=0 -> excused=1 :: else fi; /* the only copy destroyed */
                 assert(excused)        /* LOST or STALLED */
            fi; c0++
    od }
}
