/* The control connection between a primary and its secondary, looked at closely: what a cut TCP stream loses, and how the pair resumes (R13).
   docs/protocol.md, "Reconnection". Two flows, one packet a batch, batch t touching flow FLOW(t); so prepares and commits are deltas, and a gap in them
   is a flow whose entry never came.

   A connection delivers a prefix of what was written to it, in order; a cut loses the rest, in both directions. What the lcore's inbox already holds
   survives the cut, so messages of an old connection are read after a new one is open. The secondary may also be restarted empty once (RESTARTS): the
   primary then begins a new epoch, whose batches are numbered from 1 again, while votes of the old epoch still lie in its inbox. */
#ifndef N
#define N 3             /* packets of both flows together */
#endif
#ifndef CUTS
#define CUTS 2
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#ifndef LATE
#define LATE 1          /* 1: copies reach the secondary when they like; 0: at once */
#endif
#define WINDOW 2
#define FLOW(p) ((p)&1) /* of the p-th packet: 1 0 1 */
#define LINE 3          /* messages on the connection */

mtype = { prepare, commit, resume, vote };

/* A message carries its epoch and number; `resume` and `vote` voted and applied. `base` is how many packets were committed before the epoch began:
   packet = base + batch. */
chan line  = [LINE] of { mtype, byte, byte, byte };   /* primary's node → secondary's node: kind, epoch, batch, - */
chan inbox = [LINE] of { mtype, byte, byte, byte };   /* of the secondary's lcore */
chan back  = [LINE] of { mtype, byte, byte, byte };   /* secondary's node → primary's node: kind, epoch, voted, applied */
chan inboxP = [LINE] of { mtype, byte, byte, byte };  /* of the primary's lcore */

bool open, mayPrepare, mayCommit, ended;
byte cuts=CUTS, restarts=RESTARTS;
/* primary: numbers of batches in its epoch; `sentP`, `sentC` are the read positions of its two logs, `trimP`, `trimC` where they may be rewound to */
byte epochP=1, base, closed, votedP, appliedP, committed, sentP, sentC, trimP, trimC;
bool rewindP, rewindC, resumed;
byte released;                                        /* packets let out */
/* secondary */
byte epochS=1, held, prepared, voted, applied, toldV, toldA, baseS;
byte got;                                             /* batches whose prepare was taken: what the secondary knows the packets of */
byte state[2];                                        /* per flow: last packet that its applied state has seen */

hidden byte e, n, a;
hidden byte p0;

#define HOLDS(p) ((held&(1<<(p)))!=0)
#define CLOSED_OF(f,p) (FLOW(p)==(f) -> (p) : (FLOW((p)-1)==(f) && (p)>1 -> (p)-1 : 0))  /* last packet of flow f up to packet p */

#ifdef NO_R13_RESEND        /* a new connection goes on where the old one stopped */
#define RESEND 0
#else
#define RESEND 1
#endif
#ifdef NO_R13_GAP_REFUSED
#define CONSECUTIVE(number,last) ((number)>(last))
#else
#define CONSECUTIVE(number,last) ((number)==(last)+1)
#endif
#ifdef NO_R13_REPEATS_IGNORED
#define REPEATED(number,last) 0
#define ACCEPTABLE(number,last) ((number)<=(last)+1)
#else
#define REPEATED(number,last) ((number)<=(last))
#define ACCEPTABLE(number,last) CONSECUTIVE(number,last)
#endif
#ifdef NO_R13_EPOCH
#define SAME_EPOCH(mine) 1
#else
#define SAME_EPOCH(mine) (e==(mine))
#endif
#ifdef NO_R13_REWIND_FIRST  /* a log is sent from wherever it stands as soon as the connection is open */
#define MAY(flag) open
#else
#define MAY(flag) (open && flag)
#endif
#ifdef NO_R13_RESUME_CARRIES_VOTED  /* the vote that the cut lost is not told again */
#define RESUME_VOTED 0
#define RESUME_APPLIED 0
#else
#define RESUME_VOTED voted
#define RESUME_APPLIED applied
#endif
#ifdef NO_VOTE_CONDITION
#define HOLDS_BATCH(number) 1
#else
#define HOLDS_BATCH(number) HOLDS(baseS+(number))
#endif

/* Rewinding to the trim position: everything not known to be voted (prepares) or applied (commits) is written again. */
inline learn(v,w) {
  if :: v>votedP && v<=closed -> votedP=v :: else fi;
  if :: w>appliedP && w<=committed -> appliedP=w :: else fi;
  trimP=votedP; trimC=appliedP }

active proctype Pair() { do
   /* --- the primary's lcore: one packet, one batch */
   :: d_step { base+closed<N && closed-votedP<WINDOW -> closed++ }
   :: d_step { released<base+votedP -> released++;
        assert(HOLDS(released) || released<=baseS+applied) }    /* nothing leaves that the secondary could not replay */
   :: d_step { committed<votedP && base+committed<released -> committed++ }
   :: d_step { inboxP?[resume,e,n,a] -> inboxP?resume,e,n,a;
        if :: SAME_EPOCH(epochP) -> learn(n,a); if :: RESEND -> rewindP=1; rewindC=1 :: else -> rewindP=0 fi; resumed=1 :: else fi; e=0; n=0; a=0 }
   :: d_step { inboxP?[vote,e,n,a] -> inboxP?vote,e,n,a; if :: SAME_EPOCH(epochP) -> learn(n,a) :: else fi; e=0; n=0; a=0 }

   /* --- the primary's control thread. A rewind that was asked for is taken before anything is sent on this connection */
   :: d_step { resumed && (rewindP || rewindC || !RESEND) && open -> resumed=0; mayPrepare=1; mayCommit=1;
        if :: RESEND -> sentP=trimP; sentC=trimC :: else fi; rewindP=0; rewindC=0 }
   :: d_step { MAY(mayPrepare) && sentP<closed && nfull(line) -> sentP++; line!prepare,epochP,sentP,0 }
   :: d_step { MAY(mayCommit) && sentC<committed && nfull(line) -> sentC++; line!commit,epochP,sentC,0 }
   :: d_step { open && back?[_,_,_,_] && nfull(inboxP) -> if :: back?resume,e,n,a -> inboxP!resume,e,n,a :: back?vote,e,n,a -> inboxP!vote,e,n,a fi; e=0; n=0; a=0 }
   /* dial; welcome and resume come back. Rewinds asked for on earlier connections are void */
   :: d_step { !open && nfull(back) -> open=1; mayPrepare=0; mayCommit=0; rewindP=0; rewindC=0; resumed=0;
        back!resume,epochS,RESUME_VOTED,RESUME_APPLIED; toldV=voted; toldA=applied }

   /* --- the secondary's control thread */
   :: d_step { open && line?[_,_,_,_] && nfull(inbox) -> if :: line?prepare,e,n,a -> inbox!prepare,e,n,a :: line?commit,e,n,a -> inbox!commit,e,n,a fi; e=0; n=0; a=0 }
   :: d_step { open && (toldV<voted || toldA<applied) && nfull(back) -> toldV=voted; toldA=applied; back!vote,epochS,voted,applied }
   /* --- the secondary's lcore */
   :: d_step { inbox?[prepare,e,n,a] -> inbox?prepare,e,n,a;
        if :: SAME_EPOCH(epochS) && !REPEATED(n,prepared) && ACCEPTABLE(n,prepared) -> prepared=n; got=got|(1<<n) :: else fi; e=0; n=0; a=0 }
   :: d_step { voted<prepared && ((got&(1<<(voted+1)))==0 || HOLDS_BATCH(voted+1)) -> voted++ }
   :: d_step { inbox?[commit,e,n,a] -> inbox?commit,e,n,a;
        if :: SAME_EPOCH(epochS) && !REPEATED(n,applied) && ACCEPTABLE(n,applied) && n<=voted ->
             applied=n; state[FLOW(baseS+n)]=baseS+n;
             /* the commit's state is that of exactly the packets it covers */
             assert(state[0]==CLOSED_OF(0,baseS+applied) && state[1]==CLOSED_OF(1,baseS+applied))
           :: else fi; e=0; n=0; a=0 }
   :: d_step { LATE && held!=((1<<(N+1))-2) ->
        if :: !HOLDS(1) -> held=held|2 :: HOLDS(1) && !HOLDS(2) -> held=held|4 :: HOLDS(1) && HOLDS(2) && !HOLDS(3) && N>2 -> held=held|8 fi }

   /* --- faults */
   :: d_step { open && cuts>0 -> cuts--; open=0; mayPrepare=0; mayCommit=0;
        do :: line?_,_,_,_ :: back?_,_,_,_ :: empty(line) && empty(back) -> break od;
        skip }
   /* the secondary's process comes up again with nothing; the map says so, epoch + 1; the primary gives it a snapshot of what is released
      (released and acknowledged are one thing here) and begins a new stream. The inboxes of both are not emptied by that */
   :: d_step { restarts>0 && !open && empty(inbox) && released==base+votedP -> restarts--; epochP++; epochS++;
        base=released; baseS=released; state[0]=CLOSED_OF(0,released); state[1]=CLOSED_OF(1,released);
        closed=0; votedP=0; appliedP=0; committed=0; sentP=0; sentC=0; trimP=0; trimC=0; rewindP=0; rewindC=0; resumed=0;
        prepared=0; voted=0; applied=0; toldV=0; toldA=0;
        held=0; got=0 }
   :: d_step { cuts>0 -> cuts=0 }
   :: d_step { restarts>0 -> restarts=0 }
od }

init { timeout;
  /* OCCURS_...: asserts that this never happens, to be shown wrong: the faults and the changes really take place */
#ifdef OCCURS_SECOND_EPOCH
  assert(!(epochP==2 && base==1 && closed==2));
#endif
  d_step {
    assert(released==N);                                  /* nothing stalled */
    assert(base+closed==N && votedP==closed && base+appliedP==N);
    assert(state[0]==CLOSED_OF(0,N) && state[1]==CLOSED_OF(1,N)) } }
