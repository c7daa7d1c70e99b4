//! What clients were told, and so what a server must hold after whatever happened to it.
//!
//! Each key has the operations on it with the moments at which they began and were acknowledged. A value may be the
//! current one unless an operation that was acknowledged began after the value's own operation had ended. So an
//! operation that was under way when the server went may have happened or not, and an acknowledged one has.
//!
//! **Invariant:** an acknowledged operation is forgotten only for a later one, or for what was read in its place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use md5::{Digest as _, Md5};

use super::dice::bytes_of;
use crate::harness::sign::hex;

/// An object's bytes, as the bodies they were made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// Number and length of each body.
    bodies: Vec<(u64, usize)>,
    pub(super) etag: String,
}

impl Value {
    /// Of one body.
    pub(super) fn whole(id: u64, len: usize) -> Self {
        Self { bodies: vec![(id, len)], etag: md5_hex(&bytes_of(id, len)) }
    }

    /// Of parts of an upload.
    pub(super) fn of_parts(bodies: &[(u64, usize)]) -> Self {
        let mut all = Md5::new();
        bodies.iter().for_each(|(id, len)| all.update(Md5::digest(bytes_of(*id, *len))));
        Self { bodies: bodies.to_vec(), etag: format!("{}-{}", hex(&all.finalize()), bodies.len()) }
    }

    /// The same bytes, as a copy of them is.
    pub(super) fn copied(&self) -> Self {
        Self { bodies: self.bodies.clone(), etag: md5_hex(&self.bytes()) }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.bodies.iter().flat_map(|(id, len)| bytes_of(*id, *len)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.bodies.iter().map(|(_, len)| len).sum()
    }
}

pub(super) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// A bucket and a key.
pub(super) type Name = (String, String);

#[derive(Debug, Clone)]
struct Operation {
    ticket: u64,
    begun: u64,
    /// `None`: it is not known whether it happened.
    acknowledged: Option<u64>,
    value: Option<Value>,
}

/// What is known of all keys.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    moment: AtomicU64,
    acknowledged: AtomicU64,
    keys: Mutex<BTreeMap<Name, Vec<Operation>>>,
}

impl Ledger {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<Name, Vec<Operation>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Notes an operation that is about to be sent; `None` is a deletion.
    pub(super) fn begin(&self, name: &Name, value: Option<Value>) -> u64 {
        let mut keys = self.keys();
        let begun = self.tick();
        let absent = Operation { ticket: 0, begun: 0, acknowledged: Some(0), value: None };
        let operations = keys.entry(name.clone()).or_insert_with(|| vec![absent]);
        operations.push(Operation { ticket: begun, begun, acknowledged: None, value });
        begun
    }

    /// It was answered with success: what ended before it began is gone.
    pub(super) fn acknowledge(&self, name: &Name, ticket: u64) {
        let mut keys = self.keys();
        let ended = self.tick();
        let operations = keys.get_mut(name).expect("it was begun");
        let this = operations.iter_mut().find(|operation| operation.ticket == ticket).expect("it was begun");
        this.acknowledged = Some(ended);
        let begun = this.begun;
        operations.retain(|operation| operation.acknowledged.is_none_or(|ended| ended >= begun));
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
    }

    /// It was refused, and so did not happen.
    pub(super) fn refuse(&self, name: &Name, ticket: u64) {
        let mut keys = self.keys();
        keys.get_mut(name).expect("it was begun").retain(|operation| operation.ticket != ticket);
    }

    /// The values that a key may have now.
    pub(super) fn permitted(&self, name: &Name) -> Vec<Option<Value>> {
        let keys = self.keys();
        keys.get(name).map_or(vec![None], |all| all.iter().map(|operation| operation.value.clone()).collect())
    }

    /// The value of a key, if it can only be one.
    pub(super) fn certain(&self, name: &Name) -> Option<Value> {
        match &self.permitted(name)[..] {
            [Some(value)] => Some(value.clone()),
            _ => None,
        }
    }

    /// Nothing is under way, and this is what was read.
    pub(super) fn settle(&self, name: &Name, value: Option<Value>) {
        let now = self.tick();
        self.keys().insert(name.clone(), vec![Operation { ticket: now, begun: now, acknowledged: Some(now), value }]);
    }

    /// All keys that there ever were.
    pub(super) fn names(&self) -> Vec<Name> {
        self.keys().keys().cloned().collect()
    }

    /// How many operations were acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }
}

#[test]
fn the_ledger_permits_what_may_be_and_nothing_else() {
    let ledger = Ledger::default();
    let name = ("b".to_owned(), "k".to_owned());
    let [one, two, three] = [1, 2, 3].map(|id| Some(Value::whole(id, 10)));
    assert_eq!(ledger.permitted(&name), [None]);
    let first = ledger.begin(&name, one.clone());
    assert_eq!(ledger.permitted(&name), [None, one.clone()]);
    ledger.acknowledge(&name, first);
    assert_eq!(ledger.permitted(&name), std::slice::from_ref(&one));
    // Two that overlap: either may be the last.
    let (second, third) = (ledger.begin(&name, two.clone()), ledger.begin(&name, three.clone()));
    ledger.acknowledge(&name, third);
    assert_eq!(ledger.permitted(&name), [two.clone(), three.clone()]);
    ledger.acknowledge(&name, second);
    assert_eq!(ledger.permitted(&name), [two.clone(), three.clone()]);
    // One that begins later, and of which nothing is known, takes nothing away.
    let deletion = ledger.begin(&name, None);
    assert_eq!(ledger.permitted(&name), [two, three, None]);
    ledger.acknowledge(&name, deletion);
    assert_eq!(ledger.permitted(&name), [None]);
    let refused = ledger.begin(&name, one);
    ledger.refuse(&name, refused);
    assert_eq!((ledger.permitted(&name), ledger.acknowledged()), (vec![None], 4));
}
