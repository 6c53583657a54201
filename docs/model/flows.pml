/* Two flows in one pair: batches, packet clocks and state clocks that carry only the flows they touched, across one takeover. Node 0 is the primary, node 1
   its secondary and successor (policy `release` afterwards, as the map says). Only copies on their way to node 1 are destroyed (LOSSES); every way may delay and reorder at will.
   Node 1 does not declare losses here: behind a gap that nobody can fill its flow stands still, which is excused for what was not voted.
   A set of counters of one flow is a bit mask; F(node,flow). */
#ifndef N
#define N 2             /* packets of each flow */
#endif
#ifndef DROP
#define DROP 0          /* of either flow; a mask */
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef SUSPICIONS
#define SUSPICIONS 0
#endif
#ifndef LOSSES
#define LOSSES 0
#endif
#define WINDOW 2
#define BATCH 2         /* packets of both flows together */
#define BIT(c) (1<<((c)-1))
#define UPTO(c) ((1<<(c))-1)
#define F(k,f) ((k)*2+(f))
#define T(t,f) ((t)*2+(f))
#define PASSED(set) ((set)&~(DROP))

byte stamped[2], way[4], copies[4], next[4], state[4], toEgress[4];
bool taken, dead, switched;
byte crashes=CRASHES, suspicions=SUSPICIONS, losses=LOSSES;
byte destroyed[2];                                      /* copies to node 1, by flow */
/* batch t: next of each flow as of its close, state likewise, and which flows it touched. A commit covers all batches since the last one. */
byte clock[2*(2*N+1)], stateOf[2*(2*N+1)], commitState[2*(2*N+1)], touched[2*N+1];
byte inOpen, open, closed, prepared, voted, learned, released, committed, applied;
/* egress and the world */
byte out[2], lastOut[2];
#ifdef NO_R15_OWN_FLOW
byte shared[2], shown[2*N], mine[2*(2*N)];              /* what the packet said of the other flow, as released first, and at either node */
#define READ_SHARED(k,f,c) mine[(k)*2*N+(f)*N+(c)-1]=shared[k]; shared[k]++
#define SHOW(k,f,c) if :: (out[f]&BIT(c))!=0 -> assert(shown[(f)*N+(c)-1]==mine[(k)*2*N+(f)*N+(c)-1]) :: else -> shown[(f)*N+(c)-1]=mine[(k)*2*N+(f)*N+(c)-1] fi
#else
#define READ_SHARED(k,f,c) skip
#define SHOW(k,f,c) skip
#endif

#define ALIVE(k) ((k)==0 -> !dead : taken)
#define HELD(k,f,c) ((copies[F(k,f)]&BIT(c))!=0)
#define MISSING(t,f) (UPTO(clock[T(t,f)]) & ~UPTO(next[F(1,f)]-1) & ~copies[F(1,f)])
#define OUT(t,f) ((PASSED(UPTO(clock[T(t,f)])) & ~out[f])==0)
#ifdef NO_R2_EVERY_FLOW
#define ACKNOWLEDGED(t) (OUT(t,0) || OUT(t,1))
#else
#define ACKNOWLEDGED(t) (OUT(t,0) && OUT(t,1))
#endif
#ifdef NO_R3_STATE_OF_BATCH
#define COMMIT_STATE(t,f) state[F(0,f)]
#else
#define COMMIT_STATE(t,f) stateOf[T(t,f)]
#endif
#ifdef NO_VOTE_EVERY_FLOW
#define HOLDS_ALL(t) (MISSING(t,0)==0 || MISSING(t,1)==0)
#else
#define HOLDS_ALL(t) (MISSING(t,0)==0 && MISSING(t,1)==0)
#endif

#define PROCESS(f) :: d_step { !dead && next[F(0,f)]<=N && HELD(0,f,next[F(0,f)]) && inOpen<BATCH && closed-committed<WINDOW -> \
    state[F(0,f)]=state[F(0,f)]|BIT(next[F(0,f)]); READ_SHARED(0,f,next[F(0,f)]); next[F(0,f)]++; inOpen++; open=open|(1<<(f)) }
#define REPLAY(f) :: d_step { taken && next[F(1,f)]<=N && HELD(1,f,next[F(1,f)]) -> \
    assert((state[F(1,f)]&BIT(next[F(1,f)]))==0);       /* no packet applied twice to one state */ \
    assert(state[F(1,f)]==UPTO(next[F(1,f)]-1));        /* the commit's state: of exactly the packets that its clock covers */ \
    state[F(1,f)]=state[F(1,f)]|BIT(next[F(1,f)]); READ_SHARED(1,f,next[F(1,f)]); \
    toEgress[F(1,f)]=toEgress[F(1,f)]|PASSED(BIT(next[F(1,f)])); next[F(1,f)]++ }
/* Egress: in chain order (R1), which the way may have reordered */
#define LEAVES(k,f,c) :: d_step { (toEgress[F(k,f)]&BIT(c))!=0 && (c<=lastOut[f] || (PASSED(state[F(k,f)])&UPTO(c-1)&~UPTO(lastOut[f]))==0) -> \
    toEgress[F(k,f)]=toEgress[F(k,f)]&~BIT(c); SHOW(k,f,c); \
    if :: c>lastOut[f] -> assert((out[f]&BIT(c))==0); out[f]=out[f]|BIT(c); lastOut[f]=c :: else fi }
#define ARRIVES(k,f) :: d_step { way[F(k,f)]!=0 && (way[F(k,f)]&BIT(1))!=0 -> way[F(k,f)]=way[F(k,f)]&~BIT(1); TAKE(k,f,1) } \
  :: d_step { (way[F(k,f)]&BIT(2))!=0 -> way[F(k,f)]=way[F(k,f)]&~BIT(2); TAKE(k,f,2) }
#define TAKE(k,f,c) if :: c>=next[F(k,f)] && (k==1 || !dead) -> copies[F(k,f)]=copies[F(k,f)]|BIT(c) :: else fi

proctype Primary() { do
   PROCESS(0) PROCESS(1)
   :: d_step { !dead && inOpen>0 && closed-committed<WINDOW -> closed++; inOpen=0; touched[closed]=open; open=0;
        clock[T(closed,0)]=next[F(0,0)]-1; clock[T(closed,1)]=next[F(0,1)]-1; stateOf[T(closed,0)]=state[F(0,0)]; stateOf[T(closed,1)]=state[F(0,1)] }
   :: d_step { !dead && learned<voted -> learned++ }
   :: d_step { !dead && released<learned -> released++;
        toEgress[F(0,0)]=toEgress[F(0,0)]|PASSED(UPTO(clock[T(released,0)])&~UPTO(clock[T(released-1,0)]));
        toEgress[F(0,1)]=toEgress[F(0,1)]|PASSED(UPTO(clock[T(released,1)])&~UPTO(clock[T(released-1,1)])) }
   :: d_step { !dead && committed<released && ACKNOWLEDGED(committed+1) -> committed++;
        commitState[T(committed,0)]=COMMIT_STATE(committed,0); commitState[T(committed,1)]=COMMIT_STATE(committed,1) }
#if LOSSES>0
   /* the secondary asked for what a prepare covers and it will not get */
   :: d_step { !dead && !taken && voted<prepared && ((MISSING(voted+1,0)&destroyed[0])|(MISSING(voted+1,1)&destroyed[1]))!=0 ->
        copies[F(1,0)]=copies[F(1,0)]|(MISSING(voted+1,0)&destroyed[0]); copies[F(1,1)]=copies[F(1,1)]|(MISSING(voted+1,1)&destroyed[1]) }
#endif
   /* suspected and alive: forwards what it still gets (R8) */
   :: d_step { !dead && taken && ((copies[F(0,0)]&~copies[F(1,0)]&~UPTO(next[F(1,0)]-1))|(copies[F(0,1)]&~copies[F(1,1)]&~UPTO(next[F(1,1)]-1)))!=0 ->
        copies[F(1,0)]=copies[F(1,0)]|(copies[F(0,0)]&~UPTO(next[F(1,0)]-1)); copies[F(1,1)]=copies[F(1,1)]|(copies[F(0,1)]&~UPTO(next[F(1,1)]-1)) }
od }
proctype Secondary() { do
   :: d_step { !taken && prepared<closed -> prepared++ }
   :: d_step { !taken && voted<prepared && HOLDS_ALL(voted+1) -> voted++ }
   /* a delta: flows that the batch did not touch stay as they are */
   :: d_step { !taken && applied<committed && applied<voted -> applied++;
        if :: (touched[applied]&1)!=0 -> state[F(1,0)]=commitState[T(applied,0)]; next[F(1,0)]=clock[T(applied,0)]+1; copies[F(1,0)]=copies[F(1,0)]&~UPTO(next[F(1,0)]-1) :: else fi;
        if :: (touched[applied]&2)!=0 -> state[F(1,1)]=commitState[T(applied,1)]; next[F(1,1)]=clock[T(applied,1)]+1; copies[F(1,1)]=copies[F(1,1)]&~UPTO(next[F(1,1)]-1) :: else fi }
   REPLAY(0) REPLAY(1)
od }
#define DESTROYED(f,c) :: d_step { losses>0 && (way[F(1,f)]&BIT(c))!=0 -> losses--; way[F(1,f)]=way[F(1,f)]&~BIT(c); destroyed[f]=destroyed[f]|BIT(c) }
proctype Ways() { do
   ARRIVES(0,0) ARRIVES(0,1) ARRIVES(1,0) ARRIVES(1,1)
   LEAVES(0,0,1) LEAVES(0,0,2) LEAVES(0,1,1) LEAVES(0,1,2) LEAVES(1,0,1) LEAVES(1,0,2) LEAVES(1,1,1) LEAVES(1,1,2)
#if LOSSES>0
   DESTROYED(0,1) DESTROYED(0,2) DESTROYED(1,1) DESTROYED(1,2)
#endif
   :: d_step { dead && (toEgress[0]|toEgress[1])!=0 -> toEgress[0]=0; toEgress[1]=0 }     /* in the dead host's transmit ring */
od }
#define STAMP(f) :: d_step { stamped[f]<N -> stamped[f]++; way[F(1,f)]=way[F(1,f)]|BIT(stamped[f]); if :: !switched -> way[F(0,f)]=way[F(0,f)]|BIT(stamped[f]) :: else fi }
proctype Environment() { do
   STAMP(0) STAMP(1)
   :: d_step { crashes>0 && !taken -> crashes--; dead=1; way[0]=0; way[1]=0 }
   :: d_step { !taken && (dead || suspicions>0) -> if :: !dead -> suspicions-- :: else fi; taken=1 }
   :: d_step { taken && !switched -> switched=1 }
   :: d_step { crashes>0 -> crashes=0 }
   :: d_step { suspicions>0 -> suspicions=0 }
od }
init {
  atomic { next[0]=1; next[1]=1; next[2]=1; next[3]=1; run Environment(); run Primary(); run Secondary(); run Ways() };
  timeout;
  /* OCCURS_...: asserts that this never happens, to be shown wrong: the faults and the changes really take place */
#ifdef OCCURS_IN_DOUBT
  assert(!(dead && taken && applied>0 && voted>applied && released==voted));
#endif
#define BEHIND_GAP(f) (!dead || destroyed[f]==0 -> 0 : ~UPTO(destroyed[f]-1)) /* destroyed: 1 is counter 1, 2 is counter 2 */
  d_step { assert((PASSED(UPTO(N))&~out[0]&(UPTO(clock[T(voted,0)])|~BEHIND_GAP(0)))==0);
    assert((PASSED(UPTO(N))&~out[1]&(UPTO(clock[T(voted,1)])|~BEHIND_GAP(1)))==0);
    if :: !taken -> assert(state[F(1,0)]==state[F(0,0)] && state[F(1,1)]==state[F(0,1)]) :: else fi }   /* digests equal */
}
