//! Longshore puts an S3 endpoint and three REST storage APIs in front of the storage people already have.
//!
//! **Invariant:** no front reaches data but by [`store`], which decides first, and what is served, changed or removed
//! keeps to the four laws below. No module names one that stands to the right of it in the line of layers.
//!
//! # Layers
//!
//! Imports run one way, and `tests/architecture` holds them to it:
//!
//! ```text
//! model ← provider, catalog ← auth ← store ← front ← server ← app, cli, main
//! ```
//!
//! * [`model`]: names, conditions, ranges, records, callers: checked values, no I/O, not async.
//! * [`provider`]: where bytes live: a directory, memory, or a cloud, of which each has a driver under what they have in
//!   common. It knows places and stamps, nothing of S3.
//! * [`catalog`]: the index of buckets, objects, uploads, identities and owed steps; SQLite, or Postgres.
//! * [`auth`]: who asks, the one function that says yes, and the one that says what a catalog is asked about roles.
//! * [`store`]: the one door to data. It authorizes, then acts.
//! * [`front`]: protocols: S3 on s3s, the storage interfaces of Supabase, LoopBack and FileStore, and health and metrics.
//! * [`server`]: listeners, limits, the request log, the drain. [`app`] wires; [`cli`] is the command line.
//!
//! # The idea
//!
//! Bytes lie in the provider under their own names; the catalog makes them S3. Four laws hold everywhere:
//!
//! 1. A version's bytes are at one of its places; a reader tries them in the row's order and knows them by their stamp.
//! 2. Only the catalog's commit decides.
//! 3. Nothing is destroyed before it was taken aside and its stamp verified.
//! 4. A step still owed to the provider is a row of the outbox, written by the commit that decided, and removed only when
//!    the step is durable.
//!
//! # What happens on PUT
//!
//! `front::s3` turns the request into a [`store::request::PutRequest`]; [`store::Store::put`] decides, then streams the
//! body into a [`provider::Stage`] and hashes it on the way. A body that is not exactly as declared ends here and leaves
//! nothing. Otherwise a task of its own, which no client can cut short, publishes the file at its managed place (mtime of
//! our own, record in its extended attributes, fsync, link, fsync of the directory), takes the key's lock, holds the
//! conditions against the row, and commits by compare-and-swap. Natural layout then exchanges the file with its key and
//! verifies what came out. The row's outbox entry goes with the next settlement (`syncfs`), twice a second.
//!
//! A body of up to 16 KiB is not synced at all before the answer: its bytes go into the outbox entry of the commit, whose
//! one sync serves all writers that wait. They are the version until a settlement has made its file durable; after a
//! crash the file is written anew from them before anything is served. What a write displaces is freed behind its answer.
//!
//! # What happens on a form, and on a visit
//!
//! A file that a browser POSTs is read and judged by `front::s3` itself: the fields, who signed them, the policy. Then it
//! is a PutObject with these fields as headers and takes the way of any other. A visit of a bucket's website is a
//! GetObject of nobody's, around which there are the index of a directory, redirects and pages for errors. A preflight is
//! answered from the rules of the bucket alone.
//!
//! # What happens on S3 below a path
//!
//! `/storage/v1/s3` of the other listener is the same front once more. Clients sign the path that they send, so a request
//! is verified, and its body taken out of its chunks, under that path; then the path in front goes, and with it what proved
//! who asks, and the request is served like any other under the identity that was verified. A signature with the key of a
//! project proves nothing: there the token beside it is verified, and says who asks.
//!
//! # What happens on an upload by LoopBack's interface
//!
//! `front::loopback` stands before the routes of the other listener and takes what belongs to one of its mounts. The form
//! is read part by part; each file is a [`store::request::PutRequest`] whose frames are taken from the form while the store
//! reads them. Its last frame is given out when it is known what follows it, so a form that breaks off behind a file has
//! no such file. A token there is one of a role, or of a user whom the catalog must still have.
//!
//! # What happens in a FileStore
//!
//! A bucket that is a service has what its groups may do in its configuration ([`model::service`]), so the one function
//! that decides has it at hand on every front, and for other buckets it costs a look at an absent field. `front::filestore`
//! calls a function of `store::items`: it finds the item (an object, the mark of a directory, or a first key below), takes
//! the decision by path and owner, and acts by the same doors as S3, in the name of that function. Of a write, from
//! whichever front, the decision is taken again under the key's lock, about what it displaces. A directory that moves is
//! noted in the configuration first, so that the next start goes on with what a crash cut short.
//!
//! # What happens on GET
//!
//! One catalog lookup, one open, the stamp compared. If the bytes are not there: the other place, then the row again,
//! then reconciliation under the key's lock: an outside edit becomes a new object, an absent file ends the row, both only
//! while `.longshore/id` is readable. A key without a row is adopted if a file lies at its path.
//!
//! # What happens in a bucket that keeps versions
//!
//! A write puts the version it displaces behind the new one, in the commit that decides: its row moves to the versions of
//! the key, its file from the key to its own managed place, where natural layout has exchanged the two. A delete puts a
//! marker there, whose file of no bytes carries its record. Removing the newest version makes the one behind it current
//! again, by the same commit. What object lock holds is asked of the row that the commit compares, facts and all, so a
//! lock that is set meanwhile is seen; held bytes are always at managed places.
//!
//! # What happens on a move
//!
//! The bytes are copied and published; then, under the locks of both keys, the source is taken aside as by a delete, and the
//! commit that makes the copy an object takes the source's row away (`store::relocate`). A reader finds the object under
//! exactly one name, with the id and the birth that it had. In a bucket that has ever kept versions it is a copy and a
//! deletion, as what leaves a key stays behind it there.
//!
//! # What happens on CompleteMultipartUpload
//!
//! The upload goes to `completing` by compare-and-swap, so parts no longer change; the listed parts are checked and
//! assembled (`copy_file_range`) and then everything is as for PUT. The commit also ends the upload and keeps its result
//! for a day, so a repeated Complete is answered alike; one that comes while the first is at it waits for it. Where the
//! work takes long, S3's answer begins with white space before the result, or the error, is known. A quota counts parts
//! from then on; before, an upload holds no more of them than would fit.
//!
//! # What happens for a role
//!
//! The role of a token, or of an access key that is bound to one, is judged by the policies of the database, where the
//! catalog has some. `store::rights` turns the caller into the scope that its statements run under: a lookup asks *may I,
//! and which version* as the role and the rest as Longshore, in one round trip; a write is tried as the role behind a
//! savepoint before the body is read, and again by the commit that decides (only there, for a short body). A version that
//! is not current is put into the place of the current one behind a savepoint, and asked about. What a role does not see
//! is not looked for anywhere else. Everything that no request asks for runs as Longshore. In a FileStore the same statements
//! are what its functions ask (`store::items::judged`); what was said of its items keeps a role out besides.
//!
//! # What happens beside requests
//!
//! Lifecycle: a pass walks the versions of each bucket with rules in windows and asks one pure function what is due; what
//! is goes through the doors of requests, so that locks hold it and a newer write keeps it. A pass may be cut short, run
//! twice and run beside others. It also gives up the uploads that have an end of their own and are past it.
//!
//! Notification: what happened is a row of the commit that made it true. Each webhook has a task of its own that posts the
//! oldest rows, those of one key in order, and removes a row when the target has said 2xx: at least once. A row is given
//! up after a day, beyond a million rows, or when its target has refused it five times. One process at a time tells
//! a target, which keeps the order.
//!
//! Access logs are collected in memory and written by and by. A crash loses the last interval, and lines that do not fit
//! into the buffer are lost: S3 promises them by best effort.
//!
//! # What happens in a catalog in Postgres
//!
//! Each transaction enters its role with its first words, as the login itself may do nothing, and its statements are sent
//! at once, its end included: one round trip. A statement whose expectation does not hold ends the transaction with a state
//! that says which, so nobody has to look before the end is sent. A commit holds the row of its bucket shared; whoever needs
//! a bucket for himself (a new configuration, a quota that is counted anew, `gc`) takes it alone, and where commits follow
//! each other without a gap he raises a gate first, before which new ones stand back. Current versions are rows of
//! `storage.objects`, joined by their version to the facts that are Longshore's own. Under a role only the tables of Supabase
//! are asked, for the version; its facts are read as Longshore in the same transaction, and a write is tried as the role and
//! undone before it is done.
//!
//! # What happens beside Supabase's own server
//!
//! Its tables are ours, and so are its files: in such a bucket each version lies at a path that names it, beneath its key, so
//! nothing there is ever exchanged, and a version that is laid out displaces nothing. A row that the other server wrote has
//! no facts of ours; what it says of itself stands for them, under a stamp that names whatever is there. A write over it is
//! the same compare-and-swap, and owes the removal of the version that it displaces; a row that the other server rewrites
//! has another version, and the facts of the old one no longer join.
//!
//! # What happens where several gateways serve one catalog
//!
//! Each says every two seconds, in a row of the catalog and by its clock, that it is at work. What a commit owes belongs to the
//! gateway that wrote it (`outbox.holder`, which each connection says by itself), and so does an upload that is being
//! completed. Rows of one that has not said anything for ten seconds are taken over, with `SKIP LOCKED`; who starts again has
//! the same name and finds its own. None of this is needed for a step to be right: steps are idempotent, bytes kept in the
//! catalog are written anew by whoever takes them over, and only a row's holder forgets it.
//!
//! The lock of a key orders one process only. Between two, the commit's compare-and-swap decides, and lay-outs, which may
//! then come in another order than their commits, are kept from harm in three ways: their renames take turns by locks in the
//! reserved tree; a newer file at the key stays; and the row of a lay-out is removed only while its version is current, so what
//! was brought to a key too late is still owed, is adopted by nobody, and is brought away again. Who finds bytes nowhere takes
//! the steps that others owe for the key before he believes it. Scans, lifecycle and each webhook are leased for ten seconds at
//! a time.
//!
//! # Choices, and why
//!
//! * In Postgres bytes that are kept until their file is durable stand in the outbox as in SQLite.
//! * A delete under a role is tried, undone and then done like a write, instead of being done by the role at once: the commit
//!   has one way to compare and swap.
//! * SQLite keeps the facts of an object in its row instead of a table joined by version: a listing
//!   page would otherwise read a thousand scattered pages.
//! * The row of a version that is to be laid out says `natural` from its commit on, because the lay-out follows at once;
//!   a reader in between finds the bytes at the other place. The outbox repairs what a crash leaves.
//! * The order of versions of a key (`counter`) is nanoseconds of the write or one more than the version displaced,
//!   whichever is later, so that a key that was deleted and made again still goes forward without its old row.
//! * Where names fold, new bytes go to managed places: two keys may be one path there, and no look at the rows of other
//!   keys is race-free.
//! * Inline bytes stand in the outbox row of the step that places them and not in a table of their own: they go with the
//!   step, in one statement, and no row can be left behind. An outside edit of a file that is not durable yet makes its
//!   container settle at once, so that nobody reads the older bytes.
//! * The catalog keeps a little space back on its disk, so that a disk without a free block can be emptied by deleting.
//! * `gc` asks no clock whether a slow write may still come: the catalog gives a file up in the transaction that owes its
//!   removal, and while that is owed no commit can name it: the write fails as a whole. A write that sleeps through the
//!   removal and its settlement too is what the grace is for, so no grace should be shorter than a write may take.
//! * A record says where its version was to end up, so that a rebuild after a clean stop can tell a write that was never
//!   committed. `.longshore/id` says that a rebuild is under way, and until it has ended nothing is served from there.
//! * `.longshore/id` is also marked while a bucket is being deleted, so that a deletion cut short is finished at the next
//!   start instead of being adopted as a bucket again.
//! * What is mounted below a container is not served. A file there cannot be exchanged with a place of ours; its rows
//!   stand until the mount is gone again.
//! * Only its first note makes the reserved tree, so nothing is written into the empty place of a mount that is missing.
//! * A stamp whose mtime may not move with the next write has no ETag of its own yet: each answer shows another one, until
//!   the stamp is two seconds old. Where the file system was found to give every write a new mtime none is young.
//! * A displaced version gets no second name before it is exchanged with the new one: after the exchange it lies at the
//!   managed place of the new one for a moment, and the step of the commit, which every start takes first, moves it on. So
//!   no two names of one file are ever there, and file systems without links do as well.
//! * What a bucket is configured to has a revision, which a write that was decided under it names in its commit: whoever
//!   turns versioning on is told only when no write can miss it any more.
//! * Encrypted bodies lie at managed places, also in natural layout: as a plain file at a key they would be taken for what
//!   they are not.
//! * In natural layout on a cloud, too, a body is staged and committed at its managed name, and then
//!   copied to its key under the service's condition on what lies there. A PUT at the key itself would destroy what it
//!   displaces before the commit has decided. It costs a copy and a removal within the cloud, and no row of its own.
//! * Attempts of parts are objects of their own on clouds too, and are joined there (UploadPartCopy, Put Block From URL,
//!   compose, manifests): a native part is replaced by a later attempt before anybody acknowledged that one.
//! * A cloud stamps nothing that survives a copy, so a version carries its stamp in its metadata, with the MD5 and size
//!   that it speaks for. Records that do not fit there, and changes of records, are objects beside the bytes.
//! * Where a storage does not judge conditions itself, new buckets are laid out at managed names, and natural layout is for
//!   one gateway alone, by configuration. So it is at Amazon where several gateways serve one catalog: a condition there
//!   names an ETag, which two writes of equal bytes share, so one gateway could remove what another has just written.
//! * ctime is not kept. An edit of the same length whose mtime was put back is read, under the old ETag, until its bytes
//!   are compared with it.

pub mod app;
pub mod auth;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod front;
pub mod metrics;
pub mod model;
pub mod provider;
pub mod server;
pub mod store;
