import DEFTCore

/// A place for one replica of a pair on an lcore.
///
/// | seat | order | then |
/// |---|---|---|
/// | empty | a new secondary is brought up | secondary |
/// | secondary | takes over | primary |
/// | primary, secondary | crashes | empty |
///
/// Changed by the lcore itself between two rounds (`LcoreOrder`); read by reports from other threads, one word at a time.
/// The stages live until the process ends, so that their counters can still be read.
@usableFromInline
struct ReplicaSeat<Function: NetworkFunction> {
  @usableFromInline var primary: UnsafeMutablePointer<PrimaryStage<Function>>?
  @usableFromInline var secondary: UnsafeMutablePointer<SecondaryStage<Function.State>>?
}
