/* Egress: its ledger of what it has dealt with (R2), its failure (R12), and a failure of the primary before or after that. One flow.

   Egress 0 dies, or is given up while it lives; the map then names egress 1, which knows nothing. The primary supplies the flow's acknowledged counter, from which
   egress 1 follows the chain. What was sent to egress 0 and not acknowledged may or may not have left; nobody can tell. The policy says what becomes of
   it: sent again (default), or not (-DDISCARD). Both count it: `ambiguous`.
   The vote is taken for given, i.e. everything that node 0 processes is voted. When node 0 dies, node 1 replays from the last state clock it applied. */
#ifndef N
#define N 4
#endif
#ifndef DROP
#define DROP 2          /* mask of counters that the NF does not pass; never two in a row */
#endif
#ifndef EGRESS_FAILURES
#define EGRESS_FAILURES 0
#endif
#ifndef CRASHES
#define CRASHES 0       /* of node 0 */
#endif
#ifndef LOSSES
#define LOSSES 0        /* on the way from node to egress */
#endif
#define BIT(c) (1<<((c)-1))
#define UPTO(c) ((1<<(c))-1)
#define PASSED (UPTO(N)&~(DROP))
#define PASSES(c) ((PASSED&BIT(c))!=0)
#define LAST_PASSED(c) ((c)==0 || PASSES(c) -> (c) : (c)-1)
#define PREVIOUS(c) LAST_PASSED((c)-1)              /* what the packet says in its stamp (R1) */
#define NEXT(c) (PASSES((c)+1) -> (c)+1 : (c)+2)

/* node n */
byte primary, processed[2], acked[2], applied, inherited;
bool dead, supplied[2];
/* node n and egress e: packets on the way there, acknowledgement on the way back, counters dealt with */
byte way[4], back[4], ledger[4];
#define P(n,e) ((n)*2+(e))
/* egress e */
byte lastOut[2], held[2], heldFrom[2];              /* room for one packet ahead; 0: none */
bool gone, ready[2];
byte named;                                         /* by the map */
byte failures=EGRESS_FAILURES, crashes=CRASHES, losses=LOSSES;
/* the world */
byte out[2], ambiguous;
hidden byte f;

#ifdef NO_R2_ACKNOWLEDGEMENT
#define COMMITTABLE processed[0]
#else
#define COMMITTABLE acked[0]
#endif
#ifdef NO_R12_CLOCK         /* the new egress begins where a new flow begins */
#define CLOCK(n) 0
#elif defined(DISCARD)
#define CLOCK(n) LAST_PASSED(SENT(n))
#else
#define CLOCK(n) acked[n]
#endif
#ifdef NO_R12_INHERITED     /* the successor forgets that what it has not replayed yet may have been sent by its predecessor */
#define SENT(n) processed[n]
#else
#define SENT(n) (processed[n]>inherited -> processed[n] : inherited)
#endif
#ifdef NO_R12_FENCE         /* an acknowledgement of the old egress counts after the new one was told where to begin */
#define COUNTS(e) 1
#else
#define COUNTS(e) (e==named)
#endif
#ifdef NO_R12_CLOCK_FIRST   /* the new egress lets packets out before it was told */
#define READY(e) 1
#else
#define READY(e) ready[e]
#endif

inline letOut(c) {
  assert(c>lastOut[e]);                             /* in order, once */
  assert((ambiguous&BIT(c))!=0 || ((out[0]|out[1])&~ambiguous&~UPTO(c-1))==0);
  lastOut[e]=c; out[e]=out[e]|BIT(c) }
/* What is refused, being early with no room or before egress knows where to begin, stays on the way: it comes again. */
#define DEAL(c) :: d_step { (way[P(n,e)]&BIT(c))!=0 && (e==1 || !gone) && TAKES(c) -> way[P(n,e)]=way[P(n,e)]&~BIT(c); \
    if :: c<=lastOut[e] -> ledger[P(n,e)]=ledger[P(n,e)]|BIT(c)                      /* suppressed */ \
       :: c>lastOut[e] && IN_CHAIN(c) -> letOut(c); ledger[P(n,e)]=ledger[P(n,e)]|BIT(c); \
            if :: held[e]!=0 && PREVIOUS(held[e])==c -> f=held[e]; letOut(f); ledger[P(heldFrom[e],e)]=ledger[P(heldFrom[e],e)]|BIT(f); held[e]=0; heldFrom[e]=0; f=0 \
               :: held[e]!=0 && held[e]<=c -> held[e]=0; heldFrom[e]=0 :: else fi \
       :: c>lastOut[e] && !IN_CHAIN(c) -> if :: held[e]==0 -> held[e]=c; heldFrom[e]=n :: else fi; EARLY(c) fi } \
  :: d_step { (way[P(n,e)]&BIT(c))!=0 && losses>0 -> losses--; way[P(n,e)]=way[P(n,e)]&~BIT(c) }
#ifdef NO_R1_CHAIN
#define IN_CHAIN(c) 1
#else
#define IN_CHAIN(c) (PREVIOUS(c)==lastOut[e])
#endif
#ifdef NO_R2_LEDGER         /* what is held or refused is acknowledged too */
#define EARLY(c) ledger[P(n,e)]=ledger[P(n,e)]|BIT(c)
#define TAKES(c) READY(e)
#else
#define EARLY(c) skip
#define TAKES(c) (READY(e) && (c<=lastOut[e] || IN_CHAIN(c) || held[e]==0))
#endif

#define UNACKNOWLEDGED(n) (PASSED & UPTO(processed[n]) & ~UPTO(acked[n]) & ~ledger[P(n,named)])

proctype Way(byte n, e) { do
DEAL(1)
DEAL(2)
DEAL(3)
#if N>3
DEAL(4)
#endif
   /* cumulative */
   :: d_step { (e==1 || !gone) && NEXT(back[P(n,e)])<=N && (ledger[P(n,e)]&BIT(NEXT(back[P(n,e)])))!=0 -> back[P(n,e)]=NEXT(back[P(n,e)]) }
   :: d_step { n==primary && (n==1 || !dead) && back[P(n,e)]>acked[n] && COUNTS(e) -> acked[n]=back[P(n,e)] }
   /* gone with all that was on the way to it */
   :: d_step { e==0 && gone && way[P(n,e)]!=0 -> way[P(n,e)]=0 }
   :: d_step { n==0 && dead && way[P(n,e)]!=0 -> way[P(n,e)]=0 }
od }

proctype Node(byte n) { do
   :: d_step { n==primary && (n==1 || !dead) && processed[n]<N -> processed[n]++;
        if :: PASSES(processed[n]) -> way[P(n,named)]=way[P(n,named)]|BIT(processed[n]) :: else fi }
#ifndef NO_R2_RETRANSMISSION
   /* what egress has dealt with is not sent again, its acknowledgement being under way: or the model would go round for ever */
   :: d_step { n==primary && (n==1 || !dead) && (UNACKNOWLEDGED(n) & ~way[P(n,named)])!=0 -> way[P(n,named)]=way[P(n,named)]|UNACKNOWLEDGED(n) }
#endif
   /* tell the new egress. Only the first one told counts: its successor repeats what the new egress already knows */
   :: d_step { n==primary && (n==1 || !dead) && named==1 && !supplied[n] -> supplied[n]=1;
        if :: !ready[1] -> ready[1]=1; ambiguous=PASSED & UPTO(SENT(n)) & ~UPTO(acked[n]); lastOut[1]=(lastOut[1]>CLOCK(n) -> lastOut[1] : CLOCK(n)) :: else fi;
        back[P(n,1)]=acked[n]; ledger[P(n,1)]=ledger[P(n,1)]|UPTO(acked[n]) }
od }

proctype Environment() { do
   :: d_step { !dead && primary==0 && applied<COMMITTABLE -> applied=LAST_PASSED(COMMITTABLE) }
   :: d_step { crashes>0 && !dead -> crashes--; dead=1 }
   :: d_step { dead && primary==0 -> primary=1; inherited=processed[0]; processed[1]=applied; acked[1]=applied;
        back[P(1,0)]=applied; ledger[P(1,0)]=UPTO(applied); back[P(1,1)]=applied; ledger[P(1,1)]=UPTO(applied) }
   :: d_step { failures>0 && named==0 -> failures--; named=1; gone=1 }
   :: d_step { failures>0 && named==0 -> failures--; named=1 }               /* it lives and sends on what it still gets */
   :: d_step { failures>0 -> failures=0 }
   :: d_step { crashes>0 -> crashes=0 }
   :: d_step { losses>0 -> losses=0 }
od }

init {
  atomic { ready[0]=1; run Environment(); run Node(0); run Node(1); run Way(0,0); run Way(0,1); run Way(1,0); run Way(1,1) };
  timeout;
  /* OCCURS_...: asserts that this never happens, to be shown wrong: the faults and the changes really take place */
#ifdef OCCURS_TWICE
  assert(!((out[0]&out[1])!=0 && dead));
#endif
#ifdef OCCURS_UNAMBIGUOUS
  assert(!(named==1 && ambiguous==0 && out[0]!=0 && out[1]!=0));
#endif
  d_step {
    assert((out[0]&out[1]&~ambiguous)==0);          /* twice only what was counted */
#ifdef DISCARD
    assert((PASSED&~out[0]&~out[1]&~ambiguous)==0)  /* lost only what was counted */
#else
    assert((PASSED&~out[0]&~out[1])==0)
#endif
  } }
