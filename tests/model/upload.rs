//! The letters of multipart uploads.

use std::collections::BTreeSet;

use bytes::Bytes;
use longshore::model::condition::Conditions;
use longshore::model::id::UploadId;
use longshore::store::Error;
use longshore::store::request::{
    CompleteRequest, CreateUpload, ListedPart, PartCopy, PartStored, UploadQuery, UploadRef,
};

use super::letters::{At, Flaw, If, Letter};
use super::memory::{Held, Outcome, State, Tag, Upload, bytes, conditions, content, md5_hex, same, write_refusal};
use super::step::{Expected, announced, answered, part_sum};
use super::world::{ROOT, World, key, said};
use crate::conformance::store as kit;

/// Uploads that letters reach, the newest first.
const REACHED: usize = 4;

impl World {
    pub(super) fn upload(&mut self, letter: Letter) -> Outcome {
        match letter {
            Letter::Begin(at, sum) => self.begin(at, sum),
            Letter::ListUploads(bucket, limit) => self.list_uploads(self.number(bucket), limit),
            Letter::Part(upload, number, body) => match self.reached(upload) {
                Some(upload) => {
                    let (to, body) = (self.reference(upload), bytes(body));
                    let stored = self.wait(self.store().upload_part(&ROOT, &to, number, None, kit::incoming(&body)));
                    self.stored(upload, number, stored, Ok(body))
                }
                None => Ok(()),
            },
            Letter::PartCopy(upload, number, at) => match self.reached(upload) {
                Some(upload) => self.part_copy(upload, number, at),
                None => Ok(()),
            },
            Letter::Complete { upload, mask, flaw, condition } => match self.reached(upload) {
                Some(upload) => self.complete(upload, mask, flaw, condition),
                None => Ok(()),
            },
            Letter::CutComplete(upload, mask, micros) => match self.reached(upload) {
                Some(upload) => self.cut_complete(upload, mask, micros),
                None => Ok(()),
            },
            Letter::Abort(upload) => match self.reached(upload) {
                Some(upload) => self.abort(upload),
                None => Ok(()),
            },
            Letter::ListParts(upload, limit) => match self.reached(upload) {
                Some(upload) => self.list_parts(upload, limit),
                None => Ok(()),
            },
            other => Err(format!("{other:?} is no letter of uploads")),
        }
    }

    fn reached(&self, number: u8) -> Option<usize> {
        let count = self.uploads.len();
        (count > 0).then(|| count - 1 - usize::from(number) % count.min(REACHED))
    }

    fn reference(&self, upload: usize) -> UploadRef {
        let upload = &self.uploads[upload];
        UploadRef { bucket: self.names[upload.bucket].clone(), key: key(&upload.key), id: upload.id }
    }

    fn begin(&mut self, at: At, sum: u8) -> Outcome {
        let (bucket, name) = self.place(at);
        let (content, checksum) = (content(sum), announced(sum));
        let request = CreateUpload {
            conditions: Default::default(),
            length: None,
            given: Default::default(),
            bucket: self.names[bucket].clone(),
            key: key(name),
            content: content.clone(),
            checksum,
        };
        let id = self.wait(self.store().create_upload(&ROOT, request)).map_err(|e| said(&e))?.id;
        let (key, parts, state) = (name.to_owned(), std::collections::BTreeMap::new(), State::Open);
        self.uploads.push(Upload { bucket, key, id, sums: checksum, content, parts, state });
        self.see((bucket, name))
    }

    fn part_copy(&mut self, upload: usize, number: u32, at: At) -> Outcome {
        let (bucket, name) = self.place(at);
        let from = PartCopy {
            from_version: None,
            from_bucket: self.names[bucket].clone(),
            from_key: key(name),
            source_conditions: Conditions::default(),
            source_key: None,
            range: None,
        };
        let to = self.reference(upload);
        let stored = self.wait(self.store().copy_part(&ROOT, &to, number, None, from)).map(|copied| copied.part);
        let source = self.held((bucket, name)).map(|held| held.bytes.clone()).ok_or("NoSuchKey");
        self.stored(upload, number, stored, source)?;
        self.see((bucket, name))
    }

    fn stored(
        &mut self,
        upload: usize,
        number: u32,
        stored: Result<PartStored, Error>,
        body: Expected<Bytes>,
    ) -> Outcome {
        let Upload { state, sums, .. } = &self.uploads[upload];
        let expected = if *state == State::Open { body } else { Err("NoSuchUpload") };
        if let Some(stored) = answered("a part", stored, expected.clone().map(|_| ()))? {
            let body = expected?;
            same("the ETag of a part", stored.etag, md5_hex(&body))?;
            same("the checksum of a part", stored.checksum, part_sum(*sums, &body))?;
            self.uploads[upload].parts.insert(number, body);
        }
        Ok(())
    }

    /// The list of a Complete.
    fn listed(&self, upload: usize, mask: u8, flaw: Flaw) -> Vec<ListedPart> {
        let parts = &self.uploads[upload].parts;
        let wrong = || "0".repeat(32);
        let one = |number: u32| {
            let etag = parts.get(&number).map_or_else(wrong, |part| md5_hex(part));
            ListedPart { number, etag, checksum: None }
        };
        let mut listed: Vec<_> = (1..=3).filter(|number| mask & (1 << (number - 1)) != 0).map(one).collect();
        match flaw {
            Flaw::None => {}
            Flaw::Reversed => listed.reverse(),
            Flaw::WrongTag => listed.iter_mut().for_each(|part| part.etag = wrong()),
            Flaw::Missing => listed.push(ListedPart { number: 9, etag: wrong(), checksum: None }),
            Flaw::Twice => {
                let first = listed.first().map(|part| ListedPart { etag: wrong(), ..part.clone() });
                listed.splice(0..0, first);
            }
        }
        listed
    }

    fn complete(&mut self, number: usize, mask: u8, flaw: Flaw, condition: If) -> Outcome {
        let upload = &self.uploads[number];
        let place = (upload.bucket, upload.key.clone());
        let place = (place.0, place.1.as_str());
        let there = self.held(place);
        let listed = self.listed(number, mask, flaw);
        let tags: Vec<_> = listed.iter().map(|part| (part.number, part.etag.clone())).collect();
        let request = self.complete_request(number, listed.clone(), conditions(there, condition));
        let expected = match &upload.state {
            State::Gone => Err("NoSuchUpload"),
            // A repeated one is answered alike, and does nothing.
            State::Done { listed, etag } if *listed == tags => Ok((etag.clone(), None)),
            State::Done { .. } => Err("NoSuchUpload"),
            State::Open => match write_refusal(there, condition) {
                Some(refusal) => Err(refusal),
                None => upload.completed(&listed).map(|held| {
                    let Tag::Known(etag) = &held.tag else { return (String::new(), None) };
                    (etag.clone(), Some(held))
                }),
            },
        };
        let answer = self.wait(self.store().complete_upload(&ROOT, request));
        let answer = answered("Complete", answer, expected.as_ref().map(|_| ()).map_err(|name| *name))?;
        if let (Some(done), Ok((etag, held))) = (answer, expected) {
            same("the ETag of Complete", &done.etag, &etag)?;
            if let Some(held) = held {
                same("the checksum of Complete", &done.checksum, &held.checksum)?;
                self.completed(number, tags, held);
            }
        }
        self.see(place)
    }

    fn complete_request(&self, upload: usize, parts: Vec<ListedPart>, conditions: Conditions) -> CompleteRequest {
        CompleteRequest {
            upload: self.reference(upload),
            parts,
            conditions,
            size: None,
            checksum: None,
            kind: None,
            customer_key: None,
        }
    }

    fn completed(&mut self, number: usize, listed: Vec<(u32, String)>, held: Held) {
        let upload = &mut self.uploads[number];
        let etag = held.tag.seen().unwrap_or_default().to_owned();
        (upload.state, upload.parts) = (State::Done { listed, etag }, std::collections::BTreeMap::new());
        self.buckets[upload.bucket].objects.insert(upload.key.clone(), held);
    }

    /// A Complete that the end of the process meets: then the upload is open as before, or done with its object there.
    fn cut_complete(&mut self, number: usize, mask: u8, micros: u16) -> Outcome {
        let listed = self.listed(number, mask, Flaw::None);
        let upload = &self.uploads[number];
        let Ok(new) = upload.completed(&listed) else { return Ok(()) };
        if upload.state != State::Open {
            return Ok(());
        }
        let place = (upload.bucket, upload.key.clone());
        let place = (place.0, place.1.as_str());
        let tags: Vec<_> = listed.iter().map(|part| (part.number, part.etag.clone())).collect();
        let request = self.complete_request(number, listed, Conditions::default());
        let answer = self.cut(micros, |store| Box::pin(async move { store.complete_upload(&ROOT, request).await }))?;
        let old = self.held(place).cloned();
        self.revive(place, answer, Some(new.clone()), old)?;
        let reference = self.reference(number);
        match self.wait(self.store().list_parts(&ROOT, &reference, 0, 10)) {
            Ok(page) => same("the parts of an open upload", page.parts.len(), self.uploads[number].parts.len()),
            Err(Error::NoSuchUpload) => {
                let there = self.held(place).map(|held| held.tag.clone());
                same("the object of a finished upload", there, Some(new.tag.clone()))?;
                let held = self.held(place).cloned().ok_or("it is there")?;
                self.completed(number, tags, held);
                Ok(())
            }
            Err(error) => Err(said(&error)),
        }
    }

    fn abort(&mut self, number: usize) -> Outcome {
        let reference = self.reference(number);
        let upload = &self.uploads[number];
        let expected = if upload.state == State::Open { Ok(()) } else { Err("NoSuchUpload") };
        let answer = self.wait(self.store().abort_upload(&ROOT, &reference));
        if answered("Abort", answer, expected)?.is_some() {
            let upload = &mut self.uploads[number];
            (upload.state, upload.parts) = (State::Gone, std::collections::BTreeMap::new());
        }
        Ok(())
    }

    fn list_parts(&mut self, number: usize, limit: usize) -> Outcome {
        let reference = self.reference(number);
        let upload = &self.uploads[number];
        let expected = if upload.state == State::Open { Ok(()) } else { Err("NoSuchUpload") };
        let (mut after, mut seen) = (0, Vec::new());
        loop {
            let page = self.wait(self.store().list_parts(&ROOT, &reference, after, limit));
            let Some(page) = answered("a listing of parts", page, expected)? else { return Ok(()) };
            same("whether a page holds more than it may", page.parts.len() > limit, false)?;
            seen.extend(page.parts.iter().map(|part| (part.number, part.etag.clone(), part.size)));
            match page.parts.last().filter(|_| page.more) {
                Some(last) => after = last.number,
                None => break,
            }
        }
        let parts = upload.parts.iter().map(|(number, part)| (*number, md5_hex(part), part.len() as u64));
        same("the parts", seen, parts.collect())
    }

    fn list_uploads(&mut self, bucket: usize, limit: usize) -> Outcome {
        let mut seen: Vec<(String, UploadId)> = Vec::new();
        let mut next: Option<(String, Option<UploadId>)> = None;
        loop {
            let (key_marker, upload_marker) = next.map_or((None, None), |(key, upload)| (Some(key), upload));
            let query = UploadQuery { key_marker, upload_marker, limit, ..UploadQuery::default() };
            let page = self.wait(self.store().list_uploads(&ROOT, &self.names[bucket], query));
            let page = page.map_err(|e| said(&e))?;
            same("whether a page holds more than it may", page.uploads.len() > limit, false)?;
            seen.extend(page.uploads.iter().map(|upload| (upload.key.as_str().to_owned(), upload.id)));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        same("whether uploads are in the order of keys", seen.is_sorted_by_key(|(key, _)| key.clone()), true)?;
        let open = self.uploads.iter().filter(|upload| upload.bucket == bucket && upload.state == State::Open);
        let open: BTreeSet<_> = open.map(|upload| (upload.key.clone(), upload.id.to_string())).collect();
        let shown: BTreeSet<_> = seen.iter().map(|(key, id)| (key.clone(), id.to_string())).collect();
        same("how often an upload is shown", seen.len(), shown.len())?;
        same("the uploads", shown, open)
    }
}
