//! What other programs do to the directory of a bucket with natural layout.
//!
//! They write files whose mtimes never repeat, as any two edits that can be told apart have. They do not touch an object
//! that is not a plain file at its path, since there is nothing for them to touch.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use longshore::model::place::Layout;
use longshore::model::time::Timestamp;

use super::letters::{At, Edit, KEYS};
use super::memory::{Held, Outcome, bytes};
use super::world::{Kind, World, key};

/// Objects up to this size may be part of the catalog until they are settled.
const SMALL_BYTES: u64 = 16 * 1024;

impl World {
    /// Where another program would look for an object; `None` if its key is no path, or a link lies on the way.
    fn path(&self, bucket: usize, name: &str) -> Option<PathBuf> {
        let (key, files) = (key(name), self.files(bucket));
        let path = key.as_path(false)?;
        let above = path.match_indices('/').map(|(at, _)| files.join(&path[..at]));
        let linked = above.into_iter().any(|dir| dir.is_symlink());
        (!linked).then(|| files.join(path))
    }

    pub(super) fn outside(&mut self, bucket: usize, at: At, edit: Edit) -> Outcome {
        if self.kind != Kind::Fs || self.layout != Layout::Natural {
            return Ok(());
        }
        let name = KEYS[usize::from(at.1) % KEYS.len()];
        let Some(path) = self.path(bucket, name) else { return Ok(()) };
        if self.buckets[bucket].objects.get(name).is_none_or(|held| held.size() <= SMALL_BYTES) {
            self.settle();
        }
        match self.buckets[bucket].objects.get(name).cloned() {
            Some(held) if path.is_file() && !path.is_symlink() => self.edit(bucket, name, &path, held, edit),
            Some(_) => Ok(()),
            None => {
                self.make(bucket, name, &path, edit);
                Ok(())
            }
        }
    }

    /// Edits the file of an object.
    fn edit(&mut self, bucket: usize, name: &str, path: &Path, held: Held, edit: Edit) -> Outcome {
        if fs::read(path).expect("reads") != held.bytes {
            return Err(format!("{bucket}/{name:?}: the file is not the object"));
        }
        let became = match edit {
            Edit::InPlace(body) => {
                fs::write(path, bytes(body)).expect("writes");
                Some(Held::found(bytes(body), self.dated(path)))
            }
            Edit::Replace(body) => {
                let other = self.elsewhere().join("new");
                fs::write(&other, bytes(body)).expect("writes");
                let modified = self.dated(&other);
                fs::rename(&other, path).expect("renames");
                Some(Held::found(bytes(body), modified))
            }
            Edit::Touch => Some(Held::found(held.bytes, self.dated(path))),
            Edit::Remove => {
                fs::remove_file(path).expect("removes");
                None
            }
            Edit::MoveTo(to) => return self.rename(bucket, (name, path), usize::from(to), held),
            Edit::Create(_) | Edit::Directory | Edit::Link => return Ok(()),
        };
        self.changed(bucket, name, became);
        Ok(())
    }

    fn rename(&mut self, bucket: usize, from: (&str, &Path), to: usize, mut held: Held) -> Outcome {
        let name = KEYS[to % KEYS.len()];
        let Some(path) = self.path(bucket, name) else { return Ok(()) };
        let taken = self.buckets[bucket].objects.contains_key(name) || path.symlink_metadata().is_ok();
        let parent = path.parent().expect("a parent");
        if taken || fs::create_dir_all(parent).is_err() || fs::rename(from.1, &path).is_err() {
            return Ok(());
        }
        // The record goes with the file: content facts are kept, and what a scan alone had found out is not.
        if !held.recorded {
            held.tag = super::memory::Tag::Provisional(None);
        }
        (held.version, held.moved) = (None, true);
        self.changed(bucket, from.0, None);
        self.changed(bucket, name, Some(held));
        Ok(())
    }

    /// Makes something where no object is.
    fn make(&mut self, bucket: usize, name: &str, path: &Path, edit: Edit) {
        if path.symlink_metadata().is_ok() {
            if edit == Edit::Remove && path.is_symlink() {
                fs::remove_file(path).expect("removes");
            } else if edit == Edit::Remove {
                // Of a directory, if it is empty.
                let _full = fs::remove_dir(path);
            }
            return;
        }
        match edit {
            Edit::Create(body) if fs::create_dir_all(path.parent().expect("a parent")).is_ok() => {
                fs::write(path, bytes(body)).expect("writes");
                let modified = self.dated(path);
                self.changed(bucket, name, Some(Held::found(bytes(body), modified)));
            }
            // Where a file lies above it there is none.
            Edit::Directory => drop(fs::create_dir_all(path)),
            Edit::Link => drop(std::os::unix::fs::symlink(self.elsewhere(), path)),
            _ => {}
        }
    }

    fn changed(&mut self, bucket: usize, name: &str, became: Option<Held>) {
        let bucket = &mut self.buckets[bucket];
        bucket.stale.insert(name.to_owned());
        match became {
            Some(held) => bucket.objects.insert(name.to_owned(), held),
            None => bucket.objects.remove(name),
        };
    }

    fn dated(&self, path: &Path) -> Timestamp {
        let now = self.clock.unique();
        let at = UNIX_EPOCH + Duration::from_nanos(u64::try_from(now.0).expect("after 1970"));
        let file = File::options().write(true).open(path).expect("opens");
        file.set_times(FileTimes::new().set_modified(at)).expect("sets");
        now
    }
}
