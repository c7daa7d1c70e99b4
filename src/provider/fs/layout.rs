//! The steps of natural layout: exchanging a managed file with its key, and taking a file aside.
//!
//! A lay-out looks at both names, decides by what it sees (a pure function), takes one step, and looks again. So it
//! does not matter whether it begins afresh, after a crash half-way, or beside another process that lays out the same
//! key: every state has one next step, and the steps lead to the newest version at the key.
//!
//! **Invariant:** no step destroys bytes that were not judged first: what came out of the key and is neither the
//! displaced stamp nor an older version of ours goes back or is kept.

use rustix::io::Errno;

use super::error::{Doing, contended, if_there, is_clash, meaning};
use super::space::Space;
use super::spot::{Facts, Moved, Spot};
use super::turns;
use crate::model::id::VersionId;
use crate::model::name::{BucketName, ObjectKey};
use crate::model::place::{Displaced, Stamp};
use crate::provider::{Error, LaidOut, LayOut, Result};

/// Steps of one lay-out. Each round that does not end it was lost to somebody else who changed one of the two names.
const ROUNDS_MAX: usize = 32;

/// A lay-out that owns what it needs, for a thread of its own.
#[derive(Debug)]
pub(super) struct Step {
    version: VersionId,
    stamp: Stamp,
    key: ObjectKey,
    over: Option<Stamp>,
    displaced: Displaced,
    counter: u64,
}

impl From<LayOut<'_>> for Step {
    fn from(step: LayOut<'_>) -> Self {
        Self {
            version: step.version,
            stamp: step.stamp.clone(),
            key: step.key.clone(),
            over: step.over.cloned(),
            displaced: step.displaced,
            counter: step.counter,
        }
    }
}

/// What a file is to a lay-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The version that is laid out.
    This,
    /// What it displaces: the stamp named, or an older version of ours. If it stays, with its version.
    Older(Option<VersionId>),
    /// A newer version of ours, with its counter.
    Newer(u64),
    /// An outside edit.
    Foreign,
    /// A directory, a symbolic link or a special file.
    Odd,
}

impl Step {
    fn judge(&self, container: &BucketName, spot: &Spot, facts: &Facts) -> std::result::Result<Seen, Moved> {
        if !facts.regular {
            return Ok(Seen::Odd);
        }
        if facts.is(&self.stamp) {
            return Ok(Seen::This);
        }
        if self.over.as_ref().is_some_and(|over| facts.is(over)) {
            return Ok(Seen::Older(match self.displaced {
                Displaced::Keep(version) => version,
                Displaced::Free => None,
            }));
        }
        Ok(match spot.live_record(facts)?.filter(|record| record.is_of(container, &self.key)) {
            Some(record) if record.counter < self.counter => Seen::Older(match self.displaced {
                Displaced::Keep(_) => Some(record.version),
                Displaced::Free => None,
            }),
            Some(record) if record.counter > self.counter => Seen::Newer(record.counter),
            _ => Seen::Foreign,
        })
    }

    /// What is at a spot and what it is to this step.
    fn look(&self, space: &Space, spot: Option<&Spot>) -> Result<std::result::Result<Option<(Facts, Seen)>, Moved>> {
        let Some(spot) = spot else { return Ok(Ok(None)) };
        let Some(facts) = spot.look()? else { return Ok(Ok(None)) };
        Ok(self.judge(&space.name, spot, &facts).map(|seen| Some((facts, seen))))
    }
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Rename the managed file to the key, at which nothing is.
    Place,
    /// Exchange the two.
    Swap,
    /// Free the managed file.
    Drop,
    /// Move the managed file to the place of its own version.
    Home(VersionId),
    /// Keep the managed file among the lost.
    Keep,
    /// The version is at its key.
    Done,
    /// Something newer is at the key.
    Superseded,
    /// The key cannot be a path.
    Clash,
    /// Nothing is anywhere.
    Missing,
}

/// Decides by what is at the managed place and at the key.
fn next(managed: Option<Seen>, key: Option<Seen>) -> Act {
    match (managed, key) {
        (None, None | Some(Seen::Odd)) => Act::Missing,
        (None, Some(Seen::This)) => Act::Done,
        (None, Some(_)) | (Some(Seen::This), Some(Seen::Newer(_))) => Act::Superseded,
        // Two names of one file, or bytes that something newer at the key displaced in its turn.
        (Some(Seen::This), Some(Seen::This)) | (Some(Seen::Older(None)), _) => Act::Drop,
        (Some(Seen::Older(Some(version))), _) => Act::Home(version),
        (Some(Seen::This | Seen::Newer(_) | Seen::Odd), None) => Act::Place,
        (Some(Seen::This | Seen::Newer(_)), Some(Seen::Odd)) => Act::Clash,
        (Some(Seen::Newer(out)), Some(Seen::Newer(top))) if top >= out => Act::Drop,
        // Foreign bytes at the key come out here and are kept; newer ones of ours go back.
        (Some(Seen::This | Seen::Newer(_)), Some(_)) | (Some(Seen::Odd), Some(Seen::This)) => Act::Swap,
        (Some(Seen::Foreign | Seen::Odd), _) => Act::Keep,
    }
}

/// Lays a version out at its key.
pub(super) fn lay_out(space: &Space, step: &Step) -> Result<LaidOut> {
    let path = space.path_of(&step.key).ok_or(Error::Clash)?;
    let _step = space.step_at(&step.key);
    let _turn = turns::wait(space, Some(&step.key), step.version);
    let managed = if_there(space.managed(step.version))?;
    let (mut kept, mut alone) = (None, None);
    for _ in 0..ROUNDS_MAX {
        if alone.is_none() && !space.exchanges() {
            alone = Some(space.alone()?);
        }
        let home = match space.natural(path, false) {
            Err(Errno::NOENT) => Ok(None),
            home => home.map(Some),
        };
        let at_key = home.as_ref().ok().and_then(Option::as_ref);
        let (Ok(out), Ok(top)) = (step.look(space, managed.as_ref())?, step.look(space, at_key)?) else {
            continue;
        };
        let act = next(out.map(|(_, seen)| seen), top.map(|(_, seen)| seen));
        // What came out of a key that cannot be reached any more is still put away.
        if let Err(errno) = home
            && !matches!(act, Act::Drop | Act::Home(_) | Act::Keep)
        {
            return Err(clash_or(errno, "open the directory of a key"));
        }
        let (Some(managed), Some((facts, seen))) = (&managed, out) else {
            return match act {
                Act::Done => Ok(kept.map_or(LaidOut::Done, LaidOut::DoneKeeping)),
                Act::Superseded => Ok(LaidOut::Superseded),
                _ => Err(Error::NotFound),
            };
        };
        match act {
            Act::Place => {
                if place(space, managed, path)? && seen == Seen::This {
                    return Ok(kept.map_or(LaidOut::Done, LaidOut::DoneKeeping));
                }
            }
            Act::Swap => {
                if let Some(home) = at_key {
                    kept = swap(space, step, managed, home)?.or(kept);
                }
            }
            Act::Drop => {
                space.discard(managed, &facts)?;
            }
            Act::Home(own) => {
                kept = home_of(space, step, managed, &facts, own)?.and_then(Rest::kept).or(kept);
            }
            Act::Keep => kept = space.keep(managed, &facts, step.version)?.or(kept),
            Act::Superseded => return Ok(LaidOut::Superseded),
            Act::Clash => return Err(Error::Clash),
            Act::Done | Act::Missing => return Err(Error::NotFound),
        }
    }
    Err(contended("lay a version out"))
}

fn clash_or(errno: Errno, doing: &'static str) -> Error {
    if is_clash(errno) { Error::Clash } else { meaning(errno, doing) }
}

/// Renames a managed file to a key at which nothing is. False if somebody was faster.
fn place(space: &Space, managed: &Spot, path: &str) -> Result<bool> {
    let home = match space.natural(path, true) {
        Ok(home) => home,
        Err(errno) => return Err(clash_or(errno, "make the directory of a key")),
    };
    match managed.rename_new(&home) {
        Ok(()) => Ok(true),
        // Something came to the key, or its directory was pruned: look again.
        Err(Errno::EXIST | Errno::NOENT) => Ok(false),
        Err(errno) => {
            if is_clash(errno)
                && let Some((parent, _)) = path.rsplit_once('/')
            {
                space.prune(parent);
            }
            Err(clash_or(errno, "rename a version to its key"))
        }
    }
}

/// Exchanges a managed file with its key. Returns the name of what it had to keep on the way, if it could not exchange.
fn swap(space: &Space, step: &Step, managed: &Spot, home: &Spot) -> Result<Option<String>> {
    if !space.exchanges() {
        return replace(space, step, managed, home);
    }
    match managed.exchange(home) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(Errno::INVAL | Errno::NOSYS) => {
            // The next round takes the lock first.
            space.cannot_exchange();
            Ok(None)
        }
        Err(errno) => Err(clash_or(errno, "exchange a version with its key")),
    }
}

/// The same without an exchange: what is at the key gets a second name and is judged there, and what stays gets the name
/// under which it is found; then the version goes over the first. So a crash leaves it a name that says what it is.
/// Steps of ours are kept apart by a lock. Another program that replaces the file in the microseconds between has its
/// edit lost; `Capabilities` says so.
fn replace(space: &Space, step: &Step, managed: &Spot, home: &Spot) -> Result<Option<String>> {
    let aside = Space::aside(managed);
    match home.link(&aside) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::PERM | Errno::OPNOTSUPP) => return Err(Error::Clash),
        Err(errno) => return Err(clash_or(errno, "link a displaced file aside")),
    }
    let judged = (|| {
        let (Some(facts), Some(ours)) = (aside.look()?, managed.look()?) else { return Ok(None) };
        let both = step.judge(&space.name, &aside, &facts).and_then(|seen| {
            let ours = step.judge(&space.name, managed, &ours)?;
            Ok((facts, seen, ours))
        });
        Ok(both.ok())
    })();
    let (facts, seen) = match judged {
        Ok(Some((facts, seen @ (Seen::This | Seen::Older(_) | Seen::Foreign), Seen::This | Seen::Newer(_)))) => {
            (facts, seen)
        }
        other => {
            aside.unlink()?;
            return other.map(|_| None);
        }
    };
    let rest = match seen {
        Seen::Older(Some(own)) => home_of(space, step, &aside, &facts, own),
        Seen::Foreign => space.keep(&aside, &facts, step.version).map(|name| name.map(Rest::Lost)),
        Seen::This | Seen::Older(None) | Seen::Newer(_) | Seen::Odd => Ok(Some(Rest::Aside)),
    };
    let rest = match rest {
        Ok(Some(rest)) => rest,
        other => {
            aside.unlink()?;
            return other.map(|_| None);
        }
    };
    if let Err(errno) = managed.rename_over(home) {
        aside.unlink()?;
        // Its own place it may keep as a second name: another process may rest on it by now.
        if let Rest::Lost(name) = &rest
            && home.look()?.is_some_and(|there| there.same_file(&facts))
        {
            space.unkeep(name)?;
        }
        return if errno == Errno::NOENT { Ok(None) } else { Err(clash_or(errno, "rename a version over its key")) };
    }
    match (rest, seen) {
        (Rest::Home, _) => Ok(None),
        (Rest::Lost(name), _) => Ok(Some(name)),
        // A newer version went back to the key: this one waits at its managed place for whoever frees it.
        (Rest::Aside, Seen::This) => aside.rename_new(managed).doing("put a superseded version back").map(|()| None),
        (Rest::Aside, _) => aside.unlink().map(|()| None),
    }
}

/// Where a displaced file is.
#[derive(Debug)]
enum Rest {
    /// Where it was linked aside.
    Aside,
    /// At the managed place of its own version.
    Home,
    /// Among the lost, under this name.
    Lost(String),
}

impl Rest {
    /// The name under which it was kept, if it was.
    fn kept(self) -> Option<String> {
        match self {
            Self::Lost(name) => Some(name),
            Self::Aside | Self::Home => None,
        }
    }
}

/// Moves a displaced version to its own managed place, or among the lost if that is taken. `None`: it has changed or
/// gone, and nothing was moved.
fn home_of(space: &Space, step: &Step, spot: &Spot, facts: &Facts, own: VersionId) -> Result<Option<Rest>> {
    let home = space.managed_made(own)?;
    match spot.take(&home, facts) {
        Ok(taken) => Ok(taken.then_some(Rest::Home)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::EXIST) => match home.look()? {
            // Its second name, which a step that died half-way left.
            Some(there) if there.same_file(facts) => Ok(space.discard(spot, facts)?.then_some(Rest::Home)),
            _ => Ok(space.keep(spot, facts, step.version)?.map(Rest::Lost)),
        },
        Err(errno) => Err(meaning(errno, "move a displaced version to its place")),
    }
}

/// Moves the bytes of `stamp` from the key to the managed place of `version`.
pub(super) fn take_aside(space: &Space, key: &ObjectKey, version: VersionId, stamp: &Stamp) -> Result<()> {
    let path = space.path_of(key);
    let managed = space.managed_made(version)?;
    let _step = space.step_at(key);
    let _turn = turns::wait(space, Some(key), version);
    let _alone = if space.exchanges() { None } else { space.alone()? };
    for _ in 0..ROUNDS_MAX {
        let out = managed.look()?;
        let there = out.is_some_and(|facts| facts.is(stamp));
        let home = match path.map(|path| space.natural(path, false)) {
            // Nor is anything of ours in a mount that came over the directory.
            None | Some(Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::XDEV)) => None,
            Some(Err(errno)) => return Err(meaning(errno, "open the directory of a key")),
            Some(Ok(home)) => home.look()?.filter(|facts| facts.regular).map(|facts| (home, facts)),
        };
        let Some((home, facts)) = home else {
            return if there { Ok(()) } else { Err(Error::NotFound) };
        };
        match out {
            // Two names of one file, as a step that died half-way may leave them: the key is the one to go.
            Some(out) if there && out.same_file(&facts) => {
                let aside = Space::aside(&managed);
                if home.take(&aside, &facts).is_ok_and(|taken| taken) {
                    aside.unlink()?;
                }
            }
            Some(_) if there => return Ok(()),
            _ if !facts.is(stamp) => return Err(Error::StampMismatch),
            // What a lay-out that died half-way left there, or an edit that could not be put back.
            Some(out) => settle_leftover(space, key, &managed, &out, &home, &facts, version)?,
            None => match home.take(&managed, &facts) {
                Ok(true) => return Ok(()),
                Ok(false) => return put_back_or_keep(space, &managed, version),
                Err(Errno::EXIST | Errno::NOENT) => {}
                Err(errno) => return Err(clash_or(errno, "take a file aside")),
            },
        }
    }
    Err(contended("take a file aside"))
}

/// Clears a managed place of what is not its own: an older version of what is at the key goes to its own place, where
/// whoever owes its removal finds it; all else is kept.
fn settle_leftover(
    space: &Space,
    key: &ObjectKey,
    managed: &Spot,
    out: &Facts,
    home: &Spot,
    top: &Facts,
    version: VersionId,
) -> Result<()> {
    let ours = |spot: &Spot, facts: &Facts| {
        let record = spot.live_record(facts)?.filter(|record| record.is_of(&space.name, key));
        Ok::<_, Moved>(record.map(|record| (record.counter, record.version)))
    };
    match (ours(managed, out), ours(home, top)) {
        (Err(Moved), _) | (_, Err(Moved)) => {}
        (Ok(Some((out_counter, own))), Ok(Some((top_counter, _)))) if out_counter < top_counter && own != version => {
            let place = space.managed_made(own)?;
            match managed.take(&place, out) {
                Ok(_) | Err(Errno::NOENT) => {}
                Err(Errno::EXIST) => {
                    space.keep(managed, out, version)?;
                }
                Err(errno) => return Err(meaning(errno, "move a displaced version to its place")),
            }
        }
        _ => {
            space.keep(managed, out, version)?;
        }
    }
    Ok(())
}

/// After other bytes than those named came to the managed place: they are at the key again, or, if the key was taken
/// meanwhile, they are still here and must not be mistaken for the version.
fn put_back_or_keep(space: &Space, managed: &Spot, version: VersionId) -> Result<()> {
    if let Some(facts) = managed.look()?
        && let Some(name) = space.keep(managed, &facts, version)?
    {
        tracing::warn!(container = %space.name, kept = %name, "an outside edit was kept");
    }
    Err(Error::StampMismatch)
}

/// Frees what is at a managed place, if it is what `stamp` identifies (`None`: whatever it is).
pub(super) fn delete_managed(space: &Space, version: VersionId, stamp: Option<&Stamp>) -> Result<()> {
    let Some(managed) = if_there(space.managed(version))? else { return Ok(()) };
    let _turn = turns::wait(space, None, version);
    for _ in 0..ROUNDS_MAX {
        let Some(facts) = managed.look()? else { return Ok(()) };
        let Some(stamp) = stamp else { return managed.unlink() };
        if !facts.is(stamp) {
            return Err(Error::StampMismatch);
        }
        if space.discard(&managed, &facts)? {
            return Ok(());
        }
    }
    Err(contended("free a managed file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lay_out_never_frees_what_is_foreign_or_newest() {
        let own = VersionId::fresh();
        let seen = [
            Seen::This,
            Seen::Older(None),
            Seen::Older(Some(own)),
            Seen::Newer(7),
            Seen::Newer(9),
            Seen::Foreign,
            Seen::Odd,
        ];
        for out in seen {
            for top in seen.into_iter().map(Some).chain([None]) {
                let act = next(Some(out), top);
                if act == Act::Drop {
                    let newer_stays = matches!((out, top), (Seen::Newer(out), Some(Seen::Newer(top))) if top >= out);
                    let spare = out == Seen::Older(None) || (out, top) == (Seen::This, Some(Seen::This));
                    assert!(spare || newer_stays, "{out:?} over {top:?} was freed");
                }
                assert!(!matches!(act, Act::Done | Act::Missing), "{out:?} over {top:?} ends with a leftover");
            }
        }
        assert_eq!(next(Some(Seen::Newer(9)), Some(Seen::Newer(7))), Act::Swap);
        assert_eq!(next(None, Some(Seen::Foreign)), Act::Superseded);
    }
}
