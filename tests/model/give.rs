//! Moves: one object gives up its key for another one.
//!
//! What is moved is under exactly one of its keys whenever anybody looks, also after the process ended in the middle.

use longshore::store::request::{CopyContent, CopyRequest};

use super::letters::{At, If};
use super::memory::{Held, Outcome, conditions, same, write_refusal};
use super::step::answered;
use super::world::{ROOT, World, key};

/// A bucket by its number, and a key.
type Place = (usize, &'static str);

/// What a move makes of an object.
fn given(old: &Held) -> Held {
    if old.parts.is_empty() {
        let algorithm = old.checksum.as_ref().map(|sum| sum.algorithm);
        return Held::written(old.bytes.clone(), old.content.clone(), algorithm);
    }
    let fresh = Held { modified: None, version: None, placed: None, ..old.clone() };
    Held { recorded: true, moved: false, ..fresh }
}

impl World {
    fn move_request(&self, from: Place, to: Place, target: If) -> CopyRequest {
        CopyRequest {
            from_version: None,
            keep_tags: true,
            given: Default::default(),
            from_bucket: self.names[from.0].clone(),
            from_key: key(from.1),
            source_conditions: Default::default(),
            source_key: None,
            bucket: self.names[to.0].clone(),
            key: key(to.1),
            content: CopyContent::Keep,
            conditions: conditions(self.held(to), target),
            algorithm: None,
        }
    }

    pub(super) fn give(&mut self, from: At, to: At, target: If) -> Outcome {
        let (from, to) = (self.place(from), self.place(to));
        let (old, new) = (self.held(from), self.held(to));
        let expected = match old {
            _ if from == to => Err("InvalidRequest"),
            _ if write_refusal(new, target).is_some() => Err(write_refusal(new, target).unwrap_or_default()),
            None => Err("NoSuchKey"),
            Some(_) => Ok(()),
        };
        let moved = old.map(given);
        let answer = self.wait(self.store().move_object(&ROOT, self.move_request(from, to, target)));
        let object = answered("a move", answer, expected)?;
        if let (Some(object), Some(mut moved)) = (object, moved) {
            moved.agrees(&object.object).map_err(|why| format!("the answer to a move: {why}"))?;
            moved.placed = None;
            self.buckets[from.0].objects.remove(from.1);
            self.becomes(to, moved)?;
        }
        self.see(from)?;
        self.see(to)
    }

    pub(super) fn cut_give(&mut self, from: At, to: At, micros: u16) -> Outcome {
        let (from, to) = (self.place(from), self.place(to));
        let Some(old) = self.held(from).filter(|_| from != to).cloned() else { return Ok(()) };
        let displaced = self.held(to).cloned();
        let request = self.move_request(from, to, If::Always);
        let answer = self.cut(micros, |store| Box::pin(async move { store.move_object(&ROOT, request).await }))?;
        let answered = match answer {
            Some(answer) => answered("a move before the end", answer, Ok(()))?.is_some(),
            None => false,
        };
        for place in [from, to] {
            self.buckets[place.0].stale.insert(place.1.to_owned());
        }
        self.crash()?;
        self.buckets[from.0].objects.remove(from.1);
        self.buckets[to.0].objects.insert(to.1.to_owned(), given(&old));
        let Err(why) = self.see(from).and_then(|()| self.see(to)) else { return Ok(()) };
        same("an answered move", answered, false).map_err(|other| format!("{other}: {why}"))?;
        self.buckets[from.0].objects.insert(from.1.to_owned(), old);
        match displaced {
            Some(displaced) => self.buckets[to.0].objects.insert(to.1.to_owned(), displaced),
            None => self.buckets[to.0].objects.remove(to.1),
        };
        let back = self.see(from).and_then(|()| self.see(to));
        back.map_err(|other| format!("a cut move neither happened ({why}) nor did it not ({other})"))
    }
}
