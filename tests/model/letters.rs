//! The letters of a sequence: what a client, an operator, a crash or another program may do next.
//!
//! A letter names buckets, keys and uploads by number, taken modulo how many there are, so every sequence has a meaning
//! and stays one when a letter is taken out of it. That is what makes sequences shrink well.

use proptest::prelude::*;
use proptest::sample::select;

/// A key of a bucket, by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At(pub(super) u8, pub(super) u8);

/// Bytes of a size, and of a pattern that the seed makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body(pub(super) usize, pub(super) u8);

/// The condition of a request. A tag that nobody has seen yet stands for a stale one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum If {
    Always,
    Absent,
    Present,
    Same,
    Other,
    NotSame,
}

/// Which bytes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    FromTo(u64, u64),
    From(u64),
    Suffix(u64),
    Number(u32),
}

/// What is wrong with the list of a Complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    Reversed,
    WrongTag,
    Missing,
    Twice,
}

/// What another program does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    /// Writes into it.
    InPlace(Body),
    /// Renames another file over it.
    Replace(Body),
    Remove,
    /// Makes it, with the directories above it.
    Create(Body),
    Touch,
    /// Moves it to the path of another key, if nothing is there.
    MoveTo(u8),
    /// Makes a directory at its path.
    Directory,
    /// Makes a symbolic link at its path.
    Link,
}

/// A step in the bucket that keeps versions. Keys and versions are numbers, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// Versioning is enabled, or suspended.
    Set(bool),
    Put(u8, Body, bool),
    Delete(u8),
    /// Removes a version.
    Remove(u8, u8),
    /// Copies a version to a key.
    Copy(u8, u8, u8),
    List {
        prefix: u8,
        delimiter: bool,
        limit: usize,
    },
    CutPut(u8, Body, u16),
    CutDelete(u8, u16),
    CutRemove(u8, u8, u16),
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letter {
    Put(At, Body, If),
    Get(At, Part, If),
    Delete(At, If),
    DeleteSized(At, bool),
    Copy {
        from: At,
        to: At,
        replace: bool,
        source: If,
        target: If,
    },
    Move(At, At, If),
    Begin(At, u8),
    Part(u8, u32, Body),
    PartCopy(u8, u32, At),
    Complete {
        upload: u8,
        mask: u8,
        flaw: Flaw,
        condition: If,
    },
    Abort(u8),
    ListParts(u8, usize),
    ListUploads(u8, usize),
    List {
        bucket: u8,
        prefix: u8,
        delimiter: bool,
        after: u8,
        limit: usize,
    },
    /// The steps taken so far become durable, as they do twice a second.
    Settle,
    /// The process ends between two requests, as by `kill -9`.
    Crash,
    /// The process ends so many microseconds into a request.
    CutPut(At, Body, u16),
    CutDelete(At, u16),
    CutMove(At, At, u16),
    CutComplete(u8, u8, u16),
    /// A clean stop, and a start.
    Restart,
    /// A clean stop, the catalog removed, `rebuild`, and a start.
    Rebuild,
    Outside(At, Edit),
    Scan(u8, bool),
    Keeping(Keeping),
    /// Everything is read.
    Look,
}

/// Keys that get in each other's way: as paths, as names, in their order.
pub(super) const KEYS: [&str; 20] = [
    "a",
    "a/b",
    "a/b/c",
    "a//b",
    "../x",
    "dir/",
    "dir/k",
    "A",
    "A/b",
    "a-b",
    "a0",
    "ü/ñ",
    "u\u{308}/n",
    "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss\
     ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss\
     ssssssssssssssssssssssssssssssssssssssssssssssssssssssss",
    "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt\
     tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt\
     tttttttttttttttttttttttttttttttttttttttttttttttttttttttt/k",
    "x\u{1}\n",
    "\u{10FFFF}z",
    "/lead",
    "./dot",
    ".longshore2/k",
];

/// Prefixes and cursors of listings, beside the keys themselves.
pub(super) const PREFIXES: [&str; 8] = ["", "a", "a/", "dir/", "a/b", "ü", "\u{10FFFF}", "zz"];

const SIZES: [usize; 14] =
    [0, 1, 2, 4095, 4096, 4097, 16_383, 16_384, 16_385, 40_000, 262_143, 262_144, 262_145, 600_000];

/// The size from which a part need not be the last one.
pub(super) const PART: usize = 5 * 1024 * 1024;

/// A key by its number: the first keys are those that clash, so they come more often.
fn number() -> impl Strategy<Value = u8> {
    prop_oneof![3 => 0u8..7, 2 => 0u8..20]
}

fn at() -> impl Strategy<Value = At> {
    (0u8..3, number()).prop_map(|(bucket, key)| At(bucket, key))
}

fn body() -> impl Strategy<Value = Body> {
    (prop_oneof![6 => select(&SIZES[..9]), 1 => select(&SIZES[9..])], 0u8..6).prop_map(|(size, seed)| Body(size, seed))
}

/// What another program writes always says so, and is never empty.
fn outside() -> impl Strategy<Value = Body> {
    (select(vec![1usize, 2, 4096, 16_384, 16_385]), 100u8..104).prop_map(|(size, seed)| Body(size, seed))
}

fn condition() -> impl Strategy<Value = If> {
    prop_oneof![
        6 => Just(If::Always),
        2 => Just(If::Absent),
        1 => Just(If::Present),
        2 => Just(If::Same),
        1 => Just(If::Other),
        1 => Just(If::NotSame),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let edge = || select(vec![0u64, 1, 2, 4095, 4096, 16_384, 262_143, 262_144, 262_145, 5_242_880, u64::MAX]);
    prop_oneof![
        4 => Just(Part::Whole),
        2 => (edge(), edge()).prop_map(|(a, b)| Part::FromTo(a.min(b), a.max(b))),
        1 => edge().prop_map(Part::From),
        1 => edge().prop_map(Part::Suffix),
        1 => (0u32..4).prop_map(Part::Number),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => outside().prop_map(Edit::InPlace),
        3 => outside().prop_map(Edit::Replace),
        2 => Just(Edit::Remove),
        4 => outside().prop_map(Edit::Create),
        2 => Just(Edit::Touch),
        2 => (0u8..20).prop_map(Edit::MoveTo),
        1 => Just(Edit::Directory),
        1 => Just(Edit::Link),
    ]
}

fn flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        8 => Just(Flaw::None),
        1 => Just(Flaw::Reversed),
        1 => Just(Flaw::WrongTag),
        1 => Just(Flaw::Missing),
        1 => Just(Flaw::Twice),
    ]
}

fn upload() -> impl Strategy<Value = Letter> {
    let sent = || prop_oneof![12 => body(), 1 => (0u8..3).prop_map(|seed| Body(PART, seed))];
    prop_oneof![
        3 => (at(), 0u8..5).prop_map(|(at, sum)| Letter::Begin(at, sum)),
        6 => (0u8..4, 1u32..4, sent()).prop_map(|(upload, number, body)| Letter::Part(upload, number, body)),
        1 => (0u8..4, 1u32..4, at()).prop_map(|(upload, number, at)| Letter::PartCopy(upload, number, at)),
        5 => (0u8..4, 1u8..8, flaw(), condition())
            .prop_map(|(upload, mask, flaw, condition)| Letter::Complete { upload, mask, flaw, condition }),
        1 => (0u8..4).prop_map(Letter::Abort),
        1 => (0u8..4, 1usize..4).prop_map(|(upload, limit)| Letter::ListParts(upload, limit)),
        1 => (0u8..3, 1usize..4).prop_map(|(bucket, limit)| Letter::ListUploads(bucket, limit)),
        1 => (0u8..4, 1u8..8, 0u16..4000).prop_map(|(upload, mask, after)| Letter::CutComplete(upload, mask, after)),
    ]
}

fn restart() -> impl Strategy<Value = Letter> {
    prop_oneof![
        4 => Just(Letter::Settle),
        3 => Just(Letter::Crash),
        3 => (at(), body(), 0u16..4000).prop_map(|(at, body, after)| Letter::CutPut(at, body, after)),
        3 => (at(), 0u16..3000).prop_map(|(at, after)| Letter::CutDelete(at, after)),
        3 => (at(), at(), 0u16..4000).prop_map(|(from, to, after)| Letter::CutMove(from, to, after)),
        1 => Just(Letter::Restart),
        1 => Just(Letter::Rebuild),
    ]
}

fn listing() -> impl Strategy<Value = Letter> {
    (0u8..3, 0u8..28, any::<bool>(), 0u8..30, 1usize..=5)
        .prop_map(|(bucket, prefix, delimiter, after, limit)| Letter::List { bucket, prefix, delimiter, after, limit })
}

fn copy() -> impl Strategy<Value = Letter> {
    (at(), at(), any::<bool>(), condition(), condition()).prop_map(|(from, to, replace, source, target)| Letter::Copy {
        from,
        to,
        replace,
        source,
        target,
    })
}

fn keeping() -> impl Strategy<Value = Letter> {
    // Few keys, so that they get many versions.
    let key = || prop_oneof![4 => 0u8..3, 1 => number()];
    let step = prop_oneof![
        3 => prop_oneof![3 => Just(true), 1 => Just(false)].prop_map(Keeping::Set),
        9 => (key(), body(), prop_oneof![5 => Just(false), 1 => Just(true)])
            .prop_map(|(key, body, absent)| Keeping::Put(key, body, absent)),
        4 => key().prop_map(Keeping::Delete),
        4 => (key(), 0u8..4).prop_map(|(key, nth)| Keeping::Remove(key, nth)),
        2 => (key(), 0u8..4, key()).prop_map(|(from, nth, to)| Keeping::Copy(from, nth, to)),
        2 => (0u8..8, any::<bool>(), 1usize..=4)
            .prop_map(|(prefix, delimiter, limit)| Keeping::List { prefix, delimiter, limit }),
        1 => (key(), body(), 0u16..4000).prop_map(|(key, body, after)| Keeping::CutPut(key, body, after)),
        1 => (key(), 0u16..3000).prop_map(|(key, after)| Keeping::CutDelete(key, after)),
        1 => (key(), 0u8..4, 0u16..3000).prop_map(|(key, nth, after)| Keeping::CutRemove(key, nth, after)),
    ];
    step.prop_map(Letter::Keeping)
}

/// Any letter. Where there is no directory to edit, small writes take the place of edits.
pub(super) fn letter(files: bool) -> impl Strategy<Value = Letter> {
    let edited =
        move |(at, edit)| if files { Letter::Outside(at, edit) } else { Letter::Put(at, Body(1, at.1), If::Always) };
    prop_oneof![
        10 => (at(), body(), condition()).prop_map(|(at, body, condition)| Letter::Put(at, body, condition)),
        6 => (at(), part(), condition()).prop_map(|(at, part, condition)| Letter::Get(at, part, condition)),
        6 => (at(), condition()).prop_map(|(at, condition)| Letter::Delete(at, condition)),
        1 => (at(), any::<bool>()).prop_map(|(at, right)| Letter::DeleteSized(at, right)),
        4 => copy(),
        4 => (at(), at(), condition()).prop_map(|(from, to, target)| Letter::Move(from, to, target)),
        8 => upload(),
        4 => listing(),
        6 => restart(),
        8 => (at(), edit()).prop_map(edited),
        12 => keeping(),
        2 => (0u8..3, any::<bool>()).prop_map(|(bucket, hash)| Letter::Scan(bucket, hash)),
        1 => Just(Letter::Look),
    ]
}
