//! Properties of whole requests, asked of the S3 front over a store in memory, without a socket.
//!
//! Requests that need rights are signed, by the signer of the tests, so that what follows the signature is reached.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use longshore::auth::secret::{MasterKey, Secret};
use longshore::catalog::sqlite::{Durability, OpenOptions, SqliteCatalog};
use longshore::front::s3::{self, S3Front, S3Options};
use longshore::model::bucket::{BucketRules, BucketSettings};
use longshore::model::caller::Caller;
use longshore::model::name::BucketName;
use longshore::provider::memory::MemoryProvider;
use longshore::store::{Attach, RootCredentials, Store, StoreParts};
use tokio::runtime::Runtime;

use super::sign::{self, Auth, Keys, Payload, Signed};

/// Requests answered before everything that they made is thrown away.
const REQUESTS_MAX: usize = 4000;
/// Bytes of a body that is made from a seed.
const BODY_BYTES_MAX: usize = 600;

const ROOT: (&str, &str) = ("operator", "a-secret-of-the-fuzzer");

/// An answer.
struct Answer {
    status: u16,
    body: Bytes,
}

/// A front over memory with two buckets: `fuzz`, which everybody may read and which holds `keep`, and `empty`.
struct Bed {
    runtime: Runtime,
    front: S3Front,
    requests: usize,
    _dir: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a directory");
        let options = OpenOptions { durability: Durability::Os, ..OpenOptions::default() };
        let catalog = SqliteCatalog::open(&dir.path().join("catalog.db"), options).expect("a catalog");
        let store = Store::new(StoreParts {
            catalog: Arc::new(catalog),
            providers: BTreeMap::from([("default".to_owned(), Arc::new(MemoryProvider::new()).into())]),
            default_provider: "default".into(),
            inline_bytes_max: longshore::config::limits::INLINE_BYTES_MAX,
            bucket_rules: BucketRules::default(),
            master_key: MasterKey::generate(),
            named_keys: Default::default(),
            targets: Vec::new(),
            region: String::new(),
            root: RootCredentials { access_key: ROOT.0.into(), secret: Secret::new(ROOT.1) },
        });
        runtime.block_on(store.attach(Attach::Serve)).expect("attaches");
        let front = s3::service(store.clone(), S3Options::default());
        let bed = Self { runtime, front, requests: 0, _dir: dir };
        for (target, body) in [("/fuzz", &b""[..]), ("/empty", b""), ("/fuzz/keep", b"kept")] {
            assert_eq!(bed.root("PUT", target, body).map(|answer| answer.status), Some(200), "{target}");
        }
        let (name, public) =
            (BucketName::new("fuzz").expect("legal"), BucketSettings { public: true, ..BucketSettings::default() });
        bed.runtime.block_on(store.set_bucket(&Caller::ROOT, &name, public)).expect("public");
        bed
    }

    /// Answers a request; `None` if no HTTP parser would let it through.
    fn send(&self, signed: Signed) -> Option<Answer> {
        let uri: Uri = signed.target.parse().ok()?;
        let mut request = Request::builder().method(signed.method.as_str()).uri(uri);
        for (name, value) in &signed.headers {
            request = request.header(name.as_str(), HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        let request = request.body(Full::new(Bytes::from(signed.body))).ok()?;
        let answer = self.runtime.block_on(async {
            let answer = self.front.handle(request).await;
            let status = answer.status().as_u16();
            // A body that fails ends the connection: it was not answered whole.
            let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            Answer { status, body: body.unwrap_or_default() }
        });
        assert!(answer.status < 500 || answer.status == 501, "{}: {:?}", answer.status, answer.body);
        if answer.status >= 400 {
            assert!(is_xml(&answer.body), "{}: {:?}", answer.status, answer.body);
        }
        Some(answer)
    }

    /// The status for a form that comes in frames of a size.
    fn form(&self, body: &[u8], frame: usize) -> u16 {
        let frames: Vec<_> =
            body.chunks(frame).map(|frame| Ok::<_, Infallible>(Frame::data(frame.to_vec().into()))).collect();
        let request = Request::post("/fuzz")
            .header("host", "localhost:9000")
            .header("content-type", "multipart/form-data; boundary=edge")
            .header("content-length", body.len())
            .body(StreamBody::new(futures_util::stream::iter(frames)))
            .expect("a request");
        let status = self.runtime.block_on(self.front.handle(request)).status().as_u16();
        assert!(status < 500 || status == 501, "{status}");
        status
    }

    fn root(&self, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
        self.send(ask(method, path, body).sign(Some(&keys())))
    }

    /// What everybody may read of `keep`.
    fn kept(&self) -> bool {
        let request = sign::Request { auth: Auth::Anonymous, ..ask("GET", "/fuzz/keep", b"") };
        self.send(request.sign(None)).is_some_and(|answer| answer.status == 200 && &answer.body[..] == b"kept")
    }
}

fn keys() -> Keys {
    Keys::new(ROOT.0, ROOT.1)
}

fn ask(method: &str, path: &str, body: &[u8]) -> sign::Request {
    let length = ("content-length".to_owned(), body.len().to_string());
    sign::Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: vec![("host".to_owned(), "localhost:9000".to_owned()), length],
        body: body.to_vec(),
        auth: Auth::Header,
        payload: Payload::Hashed,
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
        at: sign::now_plus(0),
        unsigned: Vec::new(),
    }
}

/// Whether a body can be read by a client: no text at all, or a document.
fn is_xml(body: &[u8]) -> bool {
    let mut reader = quick_xml::Reader::from_reader(body);
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

thread_local! {
    static BED: RefCell<Option<Bed>> = const { RefCell::new(None) };
}

/// Runs with the bed of this thread, which is new now and then.
fn with_bed(run: impl FnOnce(&Bed)) {
    BED.with_borrow_mut(|slot| {
        let bed = slot.get_or_insert_with(Bed::new);
        run(bed);
        bed.requests += 1;
        if bed.requests >= REQUESTS_MAX {
            *slot = None;
        }
    });
}

/// The first byte says what is fuzzed: the framing of unsigned chunks, or one byte of a body in signed ones.
pub fn chunked(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    with_bed(|bed| if kind % 2 == 0 { unsigned_chunks(bed, rest) } else { signed_chunks(bed, rest) });
}

/// Bytes that claim to be chunks: stored are those that the framing holds, or none.
fn unsigned_chunks(bed: &Bed, data: &[u8]) {
    let Some((&[declared, trailer], framed)) = data.split_first_chunk::<2>() else { return };
    let mut request = ask("PUT", "/fuzz/chunked", framed);
    let mut header = |name: &str, value: &str| request.headers.push((name.to_owned(), value.to_owned()));
    header("content-encoding", "aws-chunked");
    header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    header("x-amz-decoded-content-length", &declared.to_string());
    if trailer % 2 == 1 {
        header("x-amz-trailer", "x-amz-checksum-crc32");
    }
    let stored = bed.send(request.sign(Some(&keys()))).is_some_and(|answer| answer.status == 200);
    if stored {
        let is = bed.root("GET", "/fuzz/chunked", b"").expect("an answer").body;
        assert_eq!(is.len(), usize::from(declared));
        assert_eq!(Some(is.to_vec()), unframed(framed), "{:?}", String::from_utf8_lossy(framed));
    }
}

/// What chunks hold, read as their description has it.
fn unframed(mut framed: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = framed.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&framed[..end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        framed = &framed[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(framed.get(..size)?);
        framed = framed.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// A signed body of which one byte is changed on the way: refused, or stored as it was signed.
fn signed_chunks(bed: &Bed, data: &[u8]) {
    let Some((&[size, at_low, at_high, flip], body)) = data.split_first_chunk::<4>() else { return };
    let body = &body[..body.len().min(BODY_BYTES_MAX)];
    let mut request = ask("PUT", "/fuzz/signed", body);
    request.headers.retain(|(name, _)| name != "content-length");
    request.payload = Payload::SignedChunks(usize::from(size) + 1, None);
    let mut signed = request.sign(Some(&keys()));
    let at = usize::from(u16::from_le_bytes([at_low, at_high])) % signed.body.len();
    signed.body[at] ^= flip;
    signed.headers.push(("content-length".to_owned(), signed.body.len().to_string()));
    let stored = bed.send(signed).is_some_and(|answer| answer.status == 200);
    assert!(stored || flip != 0, "a body that nobody changed was refused");
    if stored {
        assert_eq!(&bed.root("GET", "/fuzz/signed", b"").expect("an answer").body[..], body);
    }
}

/// The first byte says which operation the document is for.
pub fn xml(data: &[u8]) {
    let Some((kind, document)) = data.split_first() else { return };
    let (method, path, query) = match kind % 8 {
        0 | 1 => ("POST", "/fuzz", "delete"),
        2 => ("POST", "/fuzz/upload", "uploadId"),
        3 => ("PUT", "/made", ""),
        4 => ("PUT", "/fuzz", "versioning"),
        5 => ("PUT", "/fuzz", "tagging"),
        6 => ("PUT", "/fuzz", "cors"),
        _ => ("POST", "/fuzz/keep", "select"),
    };
    with_bed(|bed| {
        let mut request = ask(method, path, document);
        match query {
            "" => {}
            "uploadId" => {
                let begun = sign::Request { query: pair("uploads", ""), ..ask("POST", path, b"") };
                let begun = bed.send(begun.sign(Some(&keys()))).expect("an answer").body;
                let text = String::from_utf8_lossy(&begun).into_owned();
                let id = text.split("<UploadId>").nth(1).and_then(|rest| rest.split('<').next());
                request.query = pair("uploadId", id.expect("an id"));
            }
            name => request.query = pair(name, ""),
        }
        if query == "delete" {
            let algorithm = ("x-amz-checksum-sha256".to_owned(), base64(&sha256(document)));
            request.headers.push(algorithm);
        }
        let upload = request.query.clone();
        let answer = bed.send(request.sign(Some(&keys()))).expect("an answer");
        assert!(is_xml(&answer.body), "{:?}", answer.body);
        let text = String::from_utf8_lossy(document).to_ascii_lowercase();
        if text.contains("<!doctype") {
            assert!(answer.status >= 400, "a document type was read");
        }
        if query == "uploadId" {
            let ended = sign::Request { query: upload, ..ask("DELETE", path, b"") };
            bed.send(ended.sign(Some(&keys())));
        }
        let named = text.contains("keep") || text.contains('&');
        if !named {
            assert!(bed.kept(), "what the document does not name is gone");
        } else if !bed.kept() {
            bed.root("PUT", "/fuzz/keep", b"kept");
        }
    });
}

fn pair(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).to_vec()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - three.len()));
        for n in 0..4 {
            let sextet = (word >> (18 - 6 * n)) & 63;
            text.push(if n <= three.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}

/// The first byte says what is fuzzed: the body of a form that nobody signed, or the file of one that root did. The next
/// is the size of the frames in which the body comes.
pub fn post_form(data: &[u8]) {
    let Some((&[kind, frame], rest)) = data.split_first_chunk::<2>() else { return };
    let frame = usize::from(frame) + 1;
    with_bed(|bed| {
        if kind % 2 == 0 {
            let answer = bed.form(rest, frame);
            assert!(answer >= 400, "somebody without a name uploaded something: {answer}");
            assert!(bed.kept());
            return;
        }
        let rest = &rest[..rest.len().min(BODY_BYTES_MAX)];
        let stored = bed.form(&signed_form(rest), frame) == 204;
        // The file ends at the first delimiter, whose line must end as one.
        let end = rest.windows(DELIMITER.len()).position(|bytes| bytes == DELIMITER);
        match end {
            None => assert!(stored, "a whole form was refused"),
            Some(end) if stored => {
                let behind = &rest[end + DELIMITER.len()..];
                assert!(behind.len() < 2 || behind.starts_with(b"--") || behind.starts_with(b"\r\n"), "{behind:?}");
            }
            Some(_) => {}
        }
        if stored {
            let is = bed.root("GET", "/fuzz/form", b"").expect("an answer").body;
            assert_eq!(&is[..], &rest[..end.unwrap_or(rest.len())]);
        }
    });
}

/// What parts of the forms are divided by.
const DELIMITER: &[u8] = b"\r\n--edge";

/// A form with this file, of root's, under a policy that lets it in.
fn signed_form(file: &[u8]) -> Vec<u8> {
    let policy = "{\"expiration\":\"2100-01-01T00:00:00Z\",\"conditions\":[{\"bucket\":\"fuzz\"},{\"key\":\"form\"}]}";
    let policy = base64(policy.as_bytes());
    let signature = base64(&sha1_code(ROOT.1.as_bytes(), policy.as_bytes()));
    let mut form = Vec::new();
    for (name, value) in [("key", "form"), ("AWSAccessKeyId", ROOT.0), ("policy", &policy), ("signature", &signature)] {
        let part = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        form.extend(part.bytes());
    }
    form.extend(b"--edge\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n");
    form.extend(file);
    form.extend(DELIMITER);
    form.extend(b"--\r\n");
    form
}

fn sha1_code(key: &[u8], text: &[u8]) -> Vec<u8> {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(key).expect("any length is a key");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// A first line `METHOD target`, header lines, an empty line, a body. Behind a `!` it is signed, its target unescaped.
pub fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (signed, text) = text.strip_prefix('!').map_or((false, &*text), |text| (true, text));
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<_> = headers.map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned())).collect();
    with_bed(|bed| {
        let mut request = ask(method, target, body.as_bytes());
        request.headers.extend(headers);
        if !signed {
            let Signed { method, headers, body, .. } = sign::Request { auth: Auth::Anonymous, ..request }.sign(None);
            bed.send(Signed { method, target: target.to_owned(), headers, body });
            assert!(bed.kept(), "somebody without a name changed something");
            return;
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        request.path = path.to_owned();
        request.query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let plain = request.query.iter().all(|(name, _)| name == "x-id" || name.to_lowercase().starts_with("x-amz-"));
        bed.send(request.sign(Some(&keys())));
        let empty = bed.root("HEAD", "/empty", b"").is_some_and(|answer| answer.status == 200);
        assert!(empty || plain, "{method} {target} removed the bucket");
        if !empty {
            bed.root("PUT", "/empty", b"");
        }
        if !bed.kept() {
            bed.root("PUT", "/fuzz", b"");
            bed.root("PUT", "/fuzz/keep", b"kept");
        }
    });
}
