//! One letter: asked of the store and of the model, and both answers compared.

use longshore::model::checksum::{Algorithm, ChecksumKind};
use longshore::model::condition::Conditions;
use longshore::model::range::ByteRange;
use longshore::store::Error;
use longshore::store::request::{CopyContent, CopyRequest, DeleteRequest, Portion, PutRequest, ScanOptions};

use super::check::Asked;
use super::letters::{At, Body, If, KEYS, Letter, PREFIXES, Part};
use super::memory::{Held, Outcome, algorithm, bytes, conditions, content, read_refusal, same, sum, write_refusal};
use super::world::{ROOT, World, key, name_of, said};
use crate::conformance::store as kit;

/// What a request of the model's answers: nothing, or the name of a refusal.
pub(super) type Expected<T = ()> = Result<T, &'static str>;

/// Compares an answer with what it should be, and keeps it if both are good.
pub(super) fn answered<T>(what: &str, answer: Result<T, Error>, expected: Expected) -> Outcome<Option<T>> {
    match (answer, expected) {
        (Ok(answer), Ok(())) => Ok(Some(answer)),
        (Err(error), Err(name)) if name_of(&error) == name => Ok(None),
        (Ok(_), Err(name)) => Err(format!("{what} succeeded, and should be refused with {name}")),
        (Err(error), expected) => Err(format!("{what}: {}; expected {expected:?}", said(&error))),
    }
}

impl World {
    pub(super) fn place(&self, at: At) -> (usize, &'static str) {
        (self.number(at.0), KEYS[usize::from(at.1) % KEYS.len()])
    }

    pub(super) fn number(&self, bucket: u8) -> usize {
        usize::from(bucket) % self.buckets.len()
    }

    pub(super) fn held(&self, (bucket, name): (usize, &str)) -> Option<&Held> {
        self.buckets[bucket].objects.get(name)
    }

    /// Takes a step, and looks at what it touched.
    pub(super) fn step(&mut self, letter: Letter) -> Outcome {
        match letter {
            Letter::Put(at, body, condition) => self.put(at, body, condition)?,
            Letter::Get(at, part, condition) => self.get(at, part, condition)?,
            Letter::Delete(at, condition) => {
                let (there, place) = (self.held(self.place(at)), self.place(at));
                let expected = write_refusal(there, condition).map_or(Ok(()), Err);
                self.delete(place, conditions(there, condition), expected)?;
            }
            Letter::DeleteSized(at, right) => self.delete_sized(at, right)?,
            Letter::Copy { from, to, replace, source, target } => self.copy(from, to, replace, source, target)?,
            Letter::Move(from, to, target) => self.give(from, to, target)?,
            Letter::List { bucket, prefix, delimiter, after, limit } => {
                let names = || PREFIXES.into_iter().chain(KEYS);
                let nth = |n: u8| names().nth(usize::from(n) % (PREFIXES.len() + KEYS.len())).unwrap_or_default();
                let after = after.checked_sub(1).map(nth);
                let delimiter = delimiter.then_some("/");
                let bucket = self.number(bucket);
                self.list(Asked { bucket, prefix: nth(prefix), delimiter, after, limit })?;
            }
            Letter::Settle => self.settle(),
            Letter::Crash => self.crash()?,
            Letter::CutPut(at, body, micros) => self.cut_put(at, body, micros)?,
            Letter::CutDelete(at, micros) => self.cut_delete(at, micros)?,
            Letter::CutMove(from, to, micros) => self.cut_give(from, to, micros)?,
            Letter::Restart => self.restart()?,
            Letter::Rebuild => self.rebuild()?,
            Letter::Outside(at, edit) => {
                let bucket = self.number(at.0);
                self.outside(bucket, at, edit)?;
                return self.keys(bucket);
            }
            Letter::Scan(bucket, hash) => {
                let bucket = self.number(bucket);
                self.scan(bucket, ScanOptions { hash, ..ScanOptions::default() })?;
                self.keys(bucket)?;
            }
            Letter::Keeping(step) => self.keeping(step)?,
            Letter::Look => self.look(true)?,
            upload => self.upload(upload)?,
        }
        Ok(())
    }

    /// Looks at one key, and at the listing of its bucket.
    pub(super) fn see(&mut self, (bucket, name): (usize, &str)) -> Outcome {
        self.head(bucket, name)?;
        self.keys(bucket)
    }

    /// Makes a held object the current one of a key, and looks at it.
    pub(super) fn becomes(&mut self, place: (usize, &str), held: Held) -> Outcome {
        self.buckets[place.0].objects.insert(place.1.to_owned(), held);
        self.see(place)
    }

    fn put_request(&self, (bucket, name): (usize, &str), body: Body, conditions: Conditions) -> PutRequest {
        let mut incoming = kit::incoming(&bytes(body));
        incoming.algorithm = algorithm(body.1);
        let (bucket, key) = (self.names[bucket].clone(), key(name));
        PutRequest { given: Default::default(), bucket, key, content: content(body.1), conditions, body: incoming }
    }

    fn put(&mut self, at: At, body: Body, condition: If) -> Outcome {
        let place = self.place(at);
        let there = self.held(place);
        let expected = write_refusal(there, condition).map_or(Ok(()), Err);
        let request = self.put_request(place, body, conditions(there, condition));
        let answer = self.wait(self.store().put(&ROOT, request));
        let Some(object) = answered("PUT", answer, expected)? else { return self.see(place) };
        let mut held = Held::written(bytes(body), content(body.1), algorithm(body.1));
        held.agrees(&object).map_err(|why| format!("the answer to PUT: {why}"))?;
        // Whether it lies at its path is decided after the answer was made.
        held.placed = None;
        self.becomes(place, held)
    }

    fn get(&mut self, at: At, part: Part, condition: If) -> Outcome {
        let (bucket, name) = self.place(at);
        let portion = match part {
            Part::Whole => Portion::Whole,
            Part::FromTo(from, to) => Portion::Range(ByteRange::FromTo(from, to)),
            Part::From(from) => Portion::Range(ByteRange::From(from)),
            Part::Suffix(count) => Portion::Range(ByteRange::Suffix(count)),
            Part::Number(number) => Portion::Part(number),
        };
        let held = self.held((bucket, name));
        let mut request = self.request(bucket, name, portion);
        request.conditions = conditions(held, condition);
        let expected = match held {
            None => Err("NoSuchKey"),
            Some(held) => read_refusal(held, condition).map_or_else(|| held.range(part), Err),
        };
        let head = self.wait(self.store().head(&ROOT, request.clone())).map(|found| found.range);
        let answer = self.wait(async {
            let found = self.store().get(&ROOT, request).await?;
            Ok((found.found, kit::bytes(found.body).await?))
        });
        let head = answered("HEAD of a portion", head, expected.clone().map(|_| ()))?;
        let answer = answered("GET", answer, expected.clone().map(|_| ()))?;
        if let (Some((found, body)), Ok(range)) = (answer, expected) {
            same("the range of HEAD", head, Some(range.clone()))?;
            same("the range", &found.range, &range)?;
            same("whether it is partial", found.partial, part != Part::Whole)?;
            let held = self.buckets[bucket].objects.get_mut(name).ok_or("it is there")?;
            held.agrees(&found.object).map_err(|why| format!("GET: {why}"))?;
            let wanted = held.bytes.slice(range.start as usize..range.end as usize);
            same("whether the bytes are those of the object", body == wanted, true)?;
        }
        self.see((bucket, name))
    }

    fn delete(&mut self, place: (usize, &str), conditions: Conditions, expected: Expected) -> Outcome {
        let request = DeleteRequest {
            version: None,
            bypass_governance: false,
            bucket: self.names[place.0].clone(),
            key: key(place.1),
            conditions,
        };
        let answer = self.wait(self.store().delete(&ROOT, request));
        if answered("DELETE", answer, expected)?.is_some() {
            self.buckets[place.0].objects.remove(place.1);
        }
        self.see(place)
    }

    fn delete_sized(&mut self, at: At, right: bool) -> Outcome {
        let place = self.place(at);
        let size = self.held(place).map(Held::size);
        let expected = match size {
            None => Err("NoSuchKey"),
            Some(_) if right => Ok(()),
            Some(_) => Err("PreconditionFailed"),
        };
        let wanted = size.unwrap_or(0) + u64::from(!right);
        self.delete(place, Conditions { if_size: Some(wanted), ..Conditions::default() }, expected)
    }

    fn copy(&mut self, from: At, to: At, replace: bool, source: If, target: If) -> Outcome {
        let (from, to) = (self.place(from), self.place(to));
        let (old, new) = (self.held(from), self.held(to));
        let expected = match old {
            _ if from == to && !replace => Err("InvalidRequest"),
            _ if write_refusal(new, target).is_some() => Err(write_refusal(new, target).unwrap_or_default()),
            None => Err("NoSuchKey"),
            // Every failure of a source is a failed condition.
            Some(old) => read_refusal(old, source).map_or(Ok(()), |_| Err("PreconditionFailed")),
        };
        let copied = old.map(|old| {
            let algorithm = old.checksum.as_ref().map(|sum| sum.algorithm);
            let content = if replace { content(99) } else { old.content.clone() };
            Held::written(old.bytes.clone(), content, algorithm)
        });
        let request = CopyRequest {
            from_version: None,
            keep_tags: true,
            given: Default::default(),
            from_bucket: self.names[from.0].clone(),
            from_key: key(from.1),
            source_conditions: conditions(old, source),
            source_key: None,
            bucket: self.names[to.0].clone(),
            key: key(to.1),
            content: if replace { CopyContent::Replace(Box::new(content(99))) } else { CopyContent::Keep },
            conditions: conditions(new, target),
            algorithm: None,
        };
        let answer = self.wait(self.store().copy(&ROOT, request));
        let object = answered("a copy", answer, expected)?;
        if let (Some(object), Some(mut copied)) = (object, copied) {
            copied.agrees(&object.object).map_err(|why| format!("the answer to a copy: {why}"))?;
            copied.placed = None;
            self.becomes(to, copied)?;
        }
        self.see(from)?;
        self.see(to)
    }

    /// An answer was not given, so both are right; but one of both.
    pub(super) fn either(&mut self, place: (usize, &str), new: Option<Held>, old: Option<Held>) -> Outcome<bool> {
        let mut put = |held: Option<Held>| match held {
            Some(held) => drop(self.buckets[place.0].objects.insert(place.1.to_owned(), held)),
            None => drop(self.buckets[place.0].objects.remove(place.1)),
        };
        put(new);
        let Err(why) = self.see(place) else { return Ok(true) };
        let mut put = |held: Option<Held>| match held {
            Some(held) => drop(self.buckets[place.0].objects.insert(place.1.to_owned(), held)),
            None => drop(self.buckets[place.0].objects.remove(place.1)),
        };
        put(old);
        self.see(place).map_err(|other| format!("neither the new object ({why}) nor the old one ({other})"))?;
        Ok(false)
    }

    fn cut_put(&mut self, at: At, body: Body, micros: u16) -> Outcome {
        let place = self.place(at);
        let request = self.put_request(place, body, Conditions::default());
        let new = Held::written(bytes(body), content(body.1), algorithm(body.1));
        let answer = self.cut(micros, |store| Box::pin(async move { store.put(&ROOT, request).await }))?;
        let old = self.held(place).cloned();
        self.revive(place, answer, Some(new), old).map(|_| ())
    }

    fn cut_delete(&mut self, at: At, micros: u16) -> Outcome {
        let place = self.place(at);
        let (bucket, conditions) = (self.names[place.0].clone(), Conditions::default());
        let request = DeleteRequest { version: None, bypass_governance: false, bucket, key: key(place.1), conditions };
        let answer = self.cut(micros, |store| Box::pin(async move { store.delete(&ROOT, request).await }))?;
        let old = self.held(place).cloned();
        self.revive(place, answer, None, old).map(|_| ())
    }

    /// Ends the process after a request that was answered or not, and finds out what it came to.
    pub(super) fn revive<T>(
        &mut self,
        place: (usize, &str),
        answer: Option<Result<T, Error>>,
        new: Option<Held>,
        old: Option<Held>,
    ) -> Outcome<bool> {
        let answered = match answer {
            Some(answer) => answered("a request before the end", answer, Ok(()))?.is_some(),
            None => false,
        };
        // Nobody has read this key since, so the look after the crash passes it over.
        self.buckets[place.0].stale.insert(place.1.to_owned());
        self.crash()?;
        self.either(place, new, old)
            .and_then(|new| if answered { same("an answered request", new, true).map(|()| new) } else { Ok(new) })
    }
}

/// The checksum that an upload announces.
pub(super) fn announced(number: u8) -> Option<(Algorithm, ChecksumKind)> {
    match number {
        1 => Some((Algorithm::Crc32c, ChecksumKind::Composite)),
        2 => Some((Algorithm::Crc64Nvme, ChecksumKind::FullObject)),
        3 => Some((Algorithm::Sha256, ChecksumKind::Composite)),
        4 => Some((Algorithm::Crc32, ChecksumKind::FullObject)),
        _ => None,
    }
}

/// The checksum of a part, if its upload announced one.
pub(super) fn part_sum(
    sums: Option<(Algorithm, ChecksumKind)>,
    bytes: &[u8],
) -> Option<longshore::model::checksum::Checksum> {
    sums.map(|(algorithm, _)| sum(algorithm, bytes))
}
