/* A primary P without secondary, policy `hold` (or -DRELEASE), credit (R17), and bringing up a new secondary C while packets flow (R9). Two flows.

   P has just taken over: packet 1 was voted in the epoch before and may be out already. Packet p is the p-th that is stamped; FLOW(p) says of which flow. C gets
   base entries (a flow's state as of before the first packet processed after the sync began), prepares, then baseEnd, all in one log; batches are one
   packet. P may crash: then C is promoted if it is in sync, else the group is lost, which is counted and the run ends. C may crash (CRASHES_C): the map
   says "none" again and the same node comes up empty later.
   ROOM bounds what each node has or will get: a packet is stamped only with a credit for every node that the rule names. */
#ifndef N
#define N 4             /* packets that are stamped at most */
#endif
#ifndef OFFERED
#define OFFERED N       /* packets that the source offers */
#endif
#ifndef ROOM
#define ROOM 2
#endif
#ifndef CRASHES
#define CRASHES 0       /* of P */
#endif
#ifndef CRASHES_C
#define CRASHES_C 0
#endif
#define FLOW(p) ((p)&1)
#define BIT(p) (1<<(p))
#define BEFORE(p) (BIT(p)-2)                            /* packets stamped before p */
#define OF_FLOW(f) ((f)==1 -> 10 : 20)                  /* 1 3, 2 4 */
#define EARLIER(p) (BEFORE(p)&OF_FLOW(FLOW(p)))
#define COUNT(set) ((((set)>>1)&1)+(((set)>>2)&1)+(((set)>>3)&1)+(((set)>>4)&1))
#define P 0
#define C 1
#define INHERITED BIT(1)

byte offered=OFFERED, stamped=1, dropped, atRuleChange;
bool ruleC;                                             /* the switch sends to C too */
byte way[2], kept[2], state[4], toEgress[2];            /* state[node*2+flow]: packets that it has seen */
byte processed[2], out, released;
/* P */
byte baseLeft, order[N+2], closed, learned, letOut, committed, unprotected;
bool syncing, baseEnded;
byte beforeSync;
/* C */
byte entries, voted, got, applied;
bool endSeen, inSync, promoted, deadP, lost;
byte crashes=CRASHES, crashesC=CRASHES_C;
mtype = { base, prepare, baseEnd };
chan log = [N+3] of { mtype, byte, byte };
hidden byte a, b;

#ifdef NO_R17_CREDIT
#define CREDIT(node) 1
#else
#define CREDIT(node) (COUNT(way[node]|kept[node])<ROOM)
#endif
#ifdef NO_COPY_BEFORE_WRITE     /* the sweep writes every base entry, whenever it gets there */
#define FIRST_TOUCH(f) 0
#else
#define FIRST_TOUCH(f) (syncing && (baseLeft&BIT(f))!=0)
#endif
#ifdef NO_R9_ACKNOWLEDGED
#define BEFORE_SYNC_OUT 1
#else
#define BEFORE_SYNC_OUT ((beforeSync&~out)==0)
#endif
#ifdef NO_R9_RULE_CHANGE
#define DRAINED 1
#else
#define DRAINED (ruleC && (BEFORE(atRuleChange+1)&~processed[P])==0)
#endif
#ifdef NO_R9_IN_SYNC            /* any secondary is promoted */
#define PROMOTABLE syncing
#else
#define PROMOTABLE inSync
#endif
#ifdef NO_R9_VOTED              /* in sync as soon as baseEnd is read */
#define ALL_VOTED 1
#else
#define ALL_VOTED (voted==got)
#endif
#ifdef NO_HOLD                  /* releases when it has processed, as if the map had said `release` */
#define HOLDS 0
#else
#define HOLDS 1
#endif
#ifdef RELEASE
#define POLICY_RELEASE 1
#else
#define POLICY_RELEASE 0
#endif
#ifdef NO_REMAINDER             /* what was processed but not voted when C died waits for the next secondary */
#define REMAINDER 0
#else
#define REMAINDER 1
#endif

inline release(node,p) { toEgress[node]=toEgress[node]|BIT(p) }

/* What leaves was voted by a secondary in sync or in the epoch before, or the map named none and it is counted as unprotected. */
#define PROCESS(p) :: d_step { !deadP && (kept[P]&BIT(p))!=0 && (processed[P]&BIT(p))==0 && (EARLIER(p)&~processed[P])==0 && (syncing || POLICY_RELEASE || (INHERITED&BIT(p))!=0) -> \
    if :: FIRST_TOUCH(FLOW(p)) -> log!base,FLOW(p),state[P*2+FLOW(p)]; baseLeft=baseLeft&~BIT(FLOW(p)) :: else fi; \
    processed[P]=processed[P]|BIT(p); state[P*2+FLOW(p)]=state[P*2+FLOW(p)]|BIT(p); \
    if :: syncing -> closed++; order[closed]=p; log!prepare,p,0 :: else fi; \
    if :: (INHERITED&BIT(p))!=0 || !HOLDS -> release(P,p); \
       :: else -> if :: POLICY_RELEASE && !inSync -> release(P,p); unprotected=unprotected|BIT(p) :: else fi fi }
#define LEAVES(node,p) :: d_step { (toEgress[node]&BIT(p))!=0 && (EARLIER(p)&~out)==0 -> toEgress[node]=toEgress[node]&~BIT(p); \
    assert(promoted || (INHERITED&BIT(p))!=0 || (unprotected&BIT(p))!=0 || (released&BIT(p))!=0); \
    if :: (out&BIT(p))==0 -> out=out|BIT(p) :: else fi }
#define ARRIVES(node,p) :: d_step { (way[node]&BIT(p))!=0 -> way[node]=way[node]&~BIT(p); \
    if :: (node==P && deadP) || (kept[node]&BIT(p))!=0 || (state[node*2+FLOW(p)]&BIT(p))!=0 -> skip \
       :: else -> assert(COUNT(kept[node])<ROOM); kept[node]=kept[node]|BIT(p) fi }       /* a stamped packet never finds the queue full */
#define REPAIR(p) :: d_step { !deadP && syncing && voted<got && order[voted+1]==p && (kept[C]&BIT(p))==0 && (kept[P]&BIT(p))!=0 && COUNT(kept[C]|way[C])<ROOM -> kept[C]=kept[C]|BIT(p) }
#define REPLAY(p) :: d_step { promoted && (kept[C]&BIT(p))!=0 && (processed[C]&BIT(p))==0 && (EARLIER(p)&~state[C*2+FLOW(p)])==0 -> \
    assert((state[C*2+FLOW(p)]&BIT(p))==0);                                                /* not applied twice to one state */ \
    processed[C]=processed[C]|BIT(p); state[C*2+FLOW(p)]=state[C*2+FLOW(p)]|BIT(p); kept[C]=kept[C]&~BIT(p); release(C,p) }
#define EACH(p) PROCESS(p) LEAVES(P,p) LEAVES(C,p) ARRIVES(P,p) ARRIVES(C,p) REPAIR(p) REPLAY(p)

proctype System() { do
   /* --- stamper and switch */
   :: d_step { offered>0 && stamped<N && !lost && (deadP || CREDIT(P)) && (!ruleC || CREDIT(C)) && (!deadP || promoted) -> offered--; stamped++;
        if :: !deadP -> way[P]=way[P]|BIT(stamped) :: else fi;
        if :: ruleC -> way[C]=way[C]|BIT(stamped) :: else fi }
   :: d_step { offered>0 && !(CREDIT(P) && (!ruleC || CREDIT(C))) -> offered--; dropped++ }   /* unstamped, counted */
   :: d_step { syncing && !ruleC && !deadP -> ruleC=1; atRuleChange=stamped }

   EACH(1) EACH(2)
#if N>2
   EACH(3)
#endif
#if N>3
   EACH(4)
#endif
   /* --- P */
   :: d_step { !deadP && !syncing -> syncing=1; baseLeft=3; beforeSync=processed[P]; closed=0; learned=0; letOut=0; committed=0; baseEnded=0 }
   :: d_step { !deadP && syncing && (baseLeft&1)!=0 -> baseLeft=baseLeft&~1; log!base,0,state[P*2] }       /* the sweep */
   :: d_step { !deadP && syncing && (baseLeft&2)!=0 -> baseLeft=baseLeft&~2; log!base,1,state[P*2+1] }
   :: d_step { !deadP && syncing && baseLeft==0 && !baseEnded && BEFORE_SYNC_OUT && DRAINED -> baseEnded=1; log!baseEnd,0,0 }
   :: d_step { !deadP && syncing && learned<voted -> learned++ }
   :: d_step { !deadP && inSync && letOut<learned -> letOut++; released=released|BIT(order[letOut]); release(P,order[letOut]) }
   :: d_step { !deadP && syncing && committed<learned && (out&BIT(order[committed+1]))!=0 -> committed++; kept[P]=kept[P]&~BIT(order[committed]) }
   /* processed before the sync: no commit will cover it; freed once egress has it */
   :: d_step { !deadP && (kept[P]&(syncing -> beforeSync : processed[P])&out)!=0 -> kept[P]=kept[P]&~((syncing -> beforeSync : processed[P])&out) }

   /* --- C */
   :: d_step { syncing && !promoted && log?[base,a,b] -> log?base,a,b; entries=entries|BIT(a); state[C*2+a]=b; kept[C]=kept[C]&~b; a=0; b=0 }
   :: d_step { syncing && !promoted && log?[prepare,a,b] -> log?prepare,a,b; got++; a=0; b=0 }
   :: d_step { syncing && !promoted && log?[baseEnd,a,b] -> log?baseEnd,a,b; endSeen=1; a=0; b=0 }
   :: d_step { syncing && !promoted && voted<got && ((kept[C]|state[C*2+FLOW(order[voted+1])])&BIT(order[voted+1]))!=0 -> voted++ }
   :: d_step { syncing && !promoted && applied<committed && applied<voted -> applied++; state[C*2+FLOW(order[applied])]=state[C*2+FLOW(order[applied])]|BIT(order[applied]);
        kept[C]=kept[C]&~BIT(order[applied]) }
   :: d_step { syncing && !promoted && endSeen && ALL_VOTED && !inSync && !deadP -> inSync=1 }               /* the map's compare-and-set */

   /* --- failures */
   :: d_step { deadP && !promoted && !lost && PROMOTABLE -> promoted=1; ruleC=1 }
   :: d_step { deadP && !promoted && !lost && !PROMOTABLE -> lost=1 }
   :: d_step { crashes>0 && !deadP -> crashes--; deadP=1; way[P]=0; toEgress[P]=0 }
   :: d_step { crashesC>0 && syncing && !deadP -> crashesC--; syncing=0; inSync=0; endSeen=0; entries=0; voted=0; got=0; applied=0; ruleC=0; atRuleChange=0;
        kept[C]=0; way[C]=0; state[C*2]=0; state[C*2+1]=0;
        do :: log?_,_,_ :: empty(log) -> break od;
        if :: REMAINDER -> unprotected=unprotected|(processed[P]&~out&~released); toEgress[P]=toEgress[P]|(processed[P]&~out) :: else fi;
        order[1]=0; order[2]=0; order[3]=0; closed=0; learned=0; letOut=0; committed=0; baseLeft=0; baseEnded=0 }
   :: d_step { crashes>0 -> crashes=0 }
   :: d_step { crashesC>0 -> crashesC=0 }
od }

init {
  /* the packet that was voted: at P; out or not */
  atomic { kept[P]=BIT(1); if :: out=BIT(1) :: skip fi; run System() };
  timeout;
  /* OCCURS_...: asserts that this never happens, to be shown wrong: the faults and the changes really take place */
#ifdef OCCURS_PROMOTION
  assert(!(promoted && stamped==N && applied>0 && processed[C]!=0));
#endif
#ifdef OCCURS_SECOND_SYNC
  assert(!(CRASHES_C>0 && !deadP && inSync && crashes==0 && letOut>0 && unprotected!=0));
#endif
#ifdef OCCURS_DROPPED
  assert(!(dropped>0 && stamped>2));
#endif
#ifdef OCCURS_LOST
  assert(!(lost));
#endif
  assert(lost || (BEFORE(stamped+1)&~out)==0);          /* every stamped packet is out */
  assert(lost || offered==0 || stamped==N)
}
