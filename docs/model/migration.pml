/* Migration of one flow from A (node 0, secondary A' = node 1) to B (node 2, secondary B' = node 3); R11, R8. Within a pair replication is taken for given: what
   is processed is committed at both nodes. Ways are sets: any delay, any reordering; A may crash at any moment. */
#ifndef CRASHES
#define CRASHES 1       /* of A */
#endif
#ifndef LOSSES
#define LOSSES 1        /* of copies on their way to A' */
#endif
#ifndef N
#define N 3
#endif
#define BIT(c) (1<<((c)-1))
#define UPTO(c) ((1<<(c))-1)
#define A 0
#define A2 1
#define B 2
#define B2 3
mtype = { atA, atB, atA2 };                             /* who owns the flow, as the map says */
mtype owner = atA, rule = atA;                          /* rule: where the switch sends */
byte stamped, nextA=1, nextB, lastOut, out, copies[4], way[4], crashes=CRASHES, losses=LOSSES, destroyed;
bool deadA, moved;

#ifdef NO_R11_INERT                 /* A forwards and B begins as soon as B has the state, before the map names it */
#define B_OWNS moved
#else
#define B_OWNS (owner==atB)
#endif
#ifdef NO_R11_COMPARE_AND_SET       /* the map is set by whoever drives the migration, whatever it says now */
#define STILL_A (owner==atA || owner==atA2)
#else
#define STILL_A (owner==atA)
#endif
#ifdef NO_R11_ASK                   /* B declares lost what it and B' have not got */
#define NOT_HELD_BY_A(c) 1
#else
#define NOT_HELD_BY_A(c) ((deadA || ((copies[A]|way[A])&BIT(c))==0) && ((copies[A2]|way[A2])&BIT(c))==0)
#endif
#define FORWARD(from) (copies[from]&~UPTO(nextB-1)&~copies[B])
/* declared lost only after gapTimeout: nothing of it is on its way any more, except to nodes that have to be asked */
#define OLD(c) (((way[B]|way[B2])&BIT(c))==0)

inline release(c) { assert((out&BIT(c))==0); assert(c>lastOut); out=out|BIT(c); lastOut=c }

#define ARRIVES(j,c) :: d_step { (way[j]&BIT(c))!=0 -> way[j]=way[j]&~BIT(c); if :: j==A && deadA -> skip :: else -> copies[j]=copies[j]|BIT(c) fi }
#define LOST(c) :: d_step { (way[A2]&BIT(c))!=0 && losses>0 -> losses--; way[A2]=way[A2]&~BIT(c); destroyed=destroyed|BIT(c) }
#define EACH(j) ARRIVES(j,1) ARRIVES(j,2) ARRIVES(j,3)

active proctype System() { do
   EACH(A) EACH(A2) EACH(B) EACH(B2) LOST(1) LOST(2) LOST(3)
   :: d_step { stamped<N -> stamped++;
        if :: rule==atA -> way[A]=way[A]|BIT(stamped); way[A2]=way[A2]|BIT(stamped)
           :: rule==atB -> way[B]=way[B]|BIT(stamped); way[B2]=way[B2]|BIT(stamped)
           :: else -> way[A2]=way[A2]|BIT(stamped) fi }
   :: d_step { rule!=owner -> rule=owner }
   /* A: runs until the state is moved, buffers from then on */
   :: d_step { owner==atA && !deadA && !moved && nextA<=N && (copies[A]&BIT(nextA))!=0 -> release(nextA); nextA++ }
   :: d_step { owner==atA && !deadA && !moved -> moved=1; nextB=nextA }
   /* the commit point; whoever leads may complete it, A living or dead */
   :: d_step { moved && STILL_A -> owner=atB }
#ifndef NO_R8_FORWARD
   :: d_step { B_OWNS && !deadA && FORWARD(A)!=0 -> copies[B]=copies[B]|FORWARD(A) }
#endif
#ifndef NO_R11_A2_FORWARDS
   :: d_step { B_OWNS && FORWARD(A2)!=0 -> copies[B]=copies[B]|FORWARD(A2) }
#endif
   /* A': takes over from A, which undoes a migration that is not committed */
   :: d_step { owner==atA && deadA -> owner=atA2 }
   :: d_step { owner==atA2 && nextA<=N && (copies[A2]&BIT(nextA))!=0 -> release(nextA); nextA++ }
   :: d_step { owner==atA2 && nextA<=N && (destroyed&BIT(nextA))!=0 -> nextA++ }
   /* B */
   :: d_step { B_OWNS && nextB>0 && nextB<=N && (copies[B]&BIT(nextB))!=0 -> release(nextB); nextB++ }
   :: d_step { B_OWNS && nextB>0 && nextB<=N && (copies[B]&BIT(nextB))==0 && (copies[B]&~UPTO(nextB))!=0 && (copies[B2]&BIT(nextB))!=0 -> copies[B]=copies[B]|BIT(nextB) }
   :: d_step { B_OWNS && nextB>0 && nextB<=N && (copies[B]&BIT(nextB))==0 && (copies[B]&~UPTO(nextB))!=0 && (copies[B2]&BIT(nextB))==0 &&
        NOT_HELD_BY_A(nextB) && OLD(nextB) -> nextB++ }                    /* declared lost */
   :: d_step { crashes>0 && !deadA -> crashes--; deadA=1 }
   :: d_step { crashes>0 -> crashes=0 }
od }

/* Out, or the one copy was destroyed and the other crashed with A. */
init { timeout;
  /* OCCURS_...: asserts that this never happens, to be shown wrong: the faults and the changes really take place */
#ifdef OCCURS_MOVED
  assert(!(owner==atB && deadA && nextA>1 && nextB>nextA && out==7));
#endif
#ifdef OCCURS_UNDONE
  assert(!(owner==atA2 && moved && out==7));
#endif
  assert((UPTO(N)&~out&~(deadA -> destroyed : 0))==0) }
