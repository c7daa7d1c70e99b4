//! A proxy before a storage that spoils what it is told to: it answers in the storage's place, cuts answers, or says
//! nothing at all.
//!
//! Requests go on as they came, the host they name included, so their signatures hold. Connections are not shared: what
//! happens to one request happens to no other.
//!
//! **Invariant:** what no rule matches passes unchanged; a rule acts on exactly the requests that it counts.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION, RANGE, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, BodyStream, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<BoxBody<Bytes, Failure>>;

/// What is done to a request.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// It goes on after a while.
    Delay(Duration),
    /// It is answered so, and never goes on.
    Status { status: u16, retry_after: Option<u32> },
    /// The connection is reset, and it never goes on.
    Reset,
    /// It goes on and takes effect; then the connection is reset instead of an answer.
    ResetAfter,
    /// The connection is reset after so many bytes of the answer's body.
    ResetMid(usize),
    /// The connection is closed after so many bytes of the answer's body; the length it says is the right one.
    Cut(usize),
    /// The answer says a length that is less by so many bytes, and has that length.
    Shorter(usize),
    /// The answer's `ETag` is another.
    Etag,
    /// It is answered with a redirection, and never goes on.
    Redirect(String),
    /// It goes on, and no answer ever comes.
    Hang,
    /// It is answered with success and this JSON, and never goes on.
    Say(String),
    /// The byte of the answer's body at this place, or its last, is another.
    Flip(usize),
    /// These words in the answer's body are others of the same length.
    Replace(&'static str, &'static str),
    /// A range is answered as one, with the first bytes there are.
    FirstAsPart,
}

/// Which requests a fault is for.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Any method, if it is empty.
    pub(super) method: &'static str,
    /// Part of the path or query as it came.
    pub(super) part: String,
    /// So many that match pass first.
    pub(super) after: usize,
    /// So many that match then meet the fault.
    pub(super) times: usize,
    pub(super) fault: Fault,
}

impl Rule {
    /// For every request.
    pub(super) fn always(fault: Fault) -> Self {
        Self { method: "", part: String::new(), after: 0, times: usize::MAX, fault }
    }

    /// For the request with this number, from 0.
    pub(super) fn nth(n: usize, fault: Fault) -> Self {
        Self { after: n, times: 1, ..Self::always(fault) }
    }

    /// For one method only.
    pub(super) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// For targets with this part only.
    pub(super) fn part(mut self, part: &str) -> Self {
        self.part = part.to_owned();
        self
    }
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    seen: usize,
    met: usize,
}

/// What all connections share.
#[derive(Debug, Default)]
struct Desk {
    armed: Mutex<Vec<Armed>>,
    /// Method and target of each request that came.
    log: Mutex<Vec<String>>,
}

/// A proxy at work.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    desk: Arc<Desk>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Before a server that speaks plain HTTP.
    pub(super) fn before(backend: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let desk = Arc::new(Desk::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = Arc::clone(&desk);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                tokio::select! {
                    () = accept(listener, backend, shared) => {}
                    // An error is that the other end is gone.
                    _ = stopped => {}
                }
            });
        });
        Self { address, desk, stop: Some(stop), thread: Some(thread) }
    }

    /// Puts these rules in the place of all others; the first that matches acts.
    pub(super) fn arm(&self, rules: impl IntoIterator<Item = Rule>) {
        let armed = rules.into_iter().map(|rule| Armed { rule, seen: 0, met: 0 }).collect();
        *self.desk.armed.lock().unwrap_or_else(PoisonError::into_inner) = armed;
    }

    /// Takes all rules away, and says how many requests they met.
    pub(super) fn disarm(&self) -> usize {
        let mut armed = self.desk.armed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *armed).iter().map(|armed| armed.met).sum()
    }

    /// Method and target of each request since this was last asked.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.desk.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed.
            let _ = thread.join();
        }
    }
}

impl Desk {
    /// What happens to a request.
    fn judge(&self, method: &str, target: &str) -> Option<Fault> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fault = None;
        for armed in armed.iter_mut() {
            let rule = &armed.rule;
            if !(rule.method.is_empty() || rule.method == method) || !target.contains(&rule.part) {
                continue;
            }
            armed.seen += 1;
            if fault.is_none() && armed.seen > rule.after && armed.met < rule.times {
                armed.met += 1;
                fault = Some(rule.fault.clone());
            }
        }
        fault
    }
}

async fn accept(listener: tokio::net::TcpListener, backend: SocketAddr, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let reset = Arc::new(AtomicBool::new(false));
            let wire = Wire { stream, reset: Arc::clone(&reset) };
            let service = service_fn(|request| serve(request, backend, Arc::clone(&desk), Arc::clone(&reset)));
            // That a connection breaks is what this is for.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(wire), service).await;
        });
    }
}

async fn serve(
    request: Request<Incoming>,
    backend: SocketAddr,
    desk: Arc<Desk>,
    reset: Arc<AtomicBool>,
) -> Result<Answer, Failure> {
    let fault = desk.judge(request.method().as_str(), &request.uri().to_string());
    let reset_now = || {
        reset.store(true, Ordering::Relaxed);
        Err("reset".into())
    };
    match fault {
        None => forward(request, backend).await,
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            forward(request, backend).await
        }
        Some(Fault::Status { status, retry_after }) => {
            let retry_after = retry_after.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds)));
            answer_instead(request, status, retry_after).await
        }
        Some(Fault::Redirect(to)) => {
            let to = HeaderValue::try_from(to).expect("a header value");
            answer_instead(request, 307, Some((LOCATION, to))).await
        }
        Some(Fault::Reset) => reset_now(),
        Some(Fault::ResetAfter) => {
            drop(forward(request, backend).await?.into_body().collect().await?);
            reset_now()
        }
        Some(Fault::Hang) => {
            drop(forward(request, backend).await?.into_body().collect().await?);
            std::future::pending().await
        }
        Some(Fault::ResetMid(bytes)) => Ok(cut(forward(request, backend).await?, bytes, Some(reset))),
        Some(Fault::Cut(bytes)) => Ok(cut(forward(request, backend).await?, bytes, None)),
        Some(Fault::Shorter(less)) => shorter(forward(request, backend).await?, less).await,
        Some(Fault::Say(text)) => {
            drop(request.into_body().collect().await);
            let mut answer = Response::new(Full::new(Bytes::from(text)).map_err(never).boxed());
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok(answer)
        }
        Some(Fault::Flip(at)) => {
            let flip = |bytes: &mut Vec<u8>| {
                let at = at.min(bytes.len().saturating_sub(1));
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
            };
            changed(forward(request, backend).await?, flip).await
        }
        Some(Fault::Replace(from, to)) => {
            let replace = |bytes: &mut Vec<u8>| {
                let text = String::from_utf8_lossy(bytes).replace(from, to);
                *bytes = text.into_bytes();
            };
            changed(forward(request, backend).await?, replace).await
        }
        Some(Fault::FirstAsPart) => first_as_part(request, backend).await,
        Some(Fault::Etag) => {
            let mut answer = forward(request, backend).await?;
            if answer.headers().contains_key(ETAG) {
                answer.headers_mut().insert(ETAG, HeaderValue::from_static("\"of something else\""));
            }
            Ok(answer)
        }
    }
}

/// Gives a request on as it came.
async fn forward(request: Request<Incoming>, backend: SocketAddr) -> Result<Answer, Failure> {
    let stream = TcpStream::connect(backend).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the answer is read or dropped.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    Ok(answer.map(|body| body.map_err(Into::into).boxed()))
}

async fn answer_instead(
    request: Request<Incoming>,
    status: u16,
    header: Option<(HeaderName, HeaderValue)>,
) -> Result<Answer, Failure> {
    // A body that is not read would reset the connection.
    drop(request.into_body().collect().await);
    let body = Full::new(Bytes::from_static(b"<?xml version=\"1.0\"?><Error><Code>Injected</Code></Error>"));
    let mut answer = Response::new(body.map_err(never).boxed());
    *answer.status_mut() = StatusCode::from_u16(status)?;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer.headers_mut().extend(header);
    Ok(answer)
}

fn never(never: Infallible) -> Failure {
    match never {}
}

/// The answer with its body broken off after so many bytes.
fn cut(answer: Answer, bytes: usize, reset: Option<Arc<AtomicBool>>) -> Answer {
    answer.map(|body| {
        let mut left = bytes;
        let cut = BodyStream::new(body).map(move |frame| {
            let mut data = frame?.into_data().unwrap_or_default();
            if left == 0 {
                if let Some(reset) = &reset {
                    reset.store(true, Ordering::Relaxed);
                }
                return Err(Failure::from("cut"));
            }
            data.truncate(left);
            left -= data.len();
            Ok(Frame::data(data))
        });
        // A body that ends within the bytes is broken off behind its end, where nobody notices.
        BodyExt::boxed(StreamBody::new(cut))
    })
}

/// The answer with so many bytes less, and a length that says so.
async fn shorter(answer: Answer, less: usize) -> Result<Answer, Failure> {
    let (mut head, body) = answer.into_parts();
    let said: Option<usize> = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut bytes = body.collect().await?.to_bytes();
    if let Some(said) = said {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(said.saturating_sub(less)));
    }
    bytes.truncate(bytes.len().saturating_sub(less));
    // The answer to HEAD has a length and no body.
    let body =
        if bytes.is_empty() { Empty::new().map_err(never).boxed() } else { Full::new(bytes).map_err(never).boxed() };
    Ok(Response::from_parts(head, body))
}

/// The answer with its body changed, which has the length it had.
async fn changed(answer: Answer, change: impl FnOnce(&mut Vec<u8>)) -> Result<Answer, Failure> {
    let (head, body) = answer.into_parts();
    let mut bytes = body.collect().await?.to_bytes().to_vec();
    change(&mut bytes);
    Ok(Response::from_parts(head, Full::new(Bytes::from(bytes)).map_err(never).boxed()))
}

/// As an application answers whose storage knows no ranges: the head of a part, and the file from its beginning.
async fn first_as_part(mut request: Request<Incoming>, backend: SocketAddr) -> Result<Answer, Failure> {
    let range = request.headers_mut().remove(RANGE);
    let answer = forward(request, backend).await?;
    let range = range.as_ref().and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else { return Ok(answer) };
    let (mut head, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let len = last.parse::<usize>()? + 1 - first.parse::<usize>()?;
    head.status = StatusCode::PARTIAL_CONTENT;
    let said = format!("bytes {first}-{last}/{}", bytes.len());
    head.headers.insert(CONTENT_RANGE, HeaderValue::try_from(said)?);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    head.headers.remove(TRANSFER_ENCODING);
    let body = Full::new(bytes.slice(..len)).map_err(never).boxed();
    Ok(Response::from_parts(head, body))
}

/// A connection that can end by a reset.
struct Wire {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Without it the connection is closed, which is another fault.
            self.stream.set_zero_linger().expect("a socket");
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

mod tests {
    use super::{Fault, Proxy, Rule};
    use crate::fault::dice::bytes_of;
    use crate::harness::server::{ROOT_ACCESS_KEY, ROOT_SECRET};
    use crate::harness::sign::Keys;
    use crate::harness::{Client, Server};
    use std::time::{Duration, Instant};

    /// A server with an object, a proxy before it, and a client of the proxy.
    async fn stage(bytes: &[u8]) -> (Server, Proxy, Client) {
        let server = Server::start();
        let proxy = Proxy::before(server.s3);
        let client = Client::new(proxy.address, Some(Keys::new(ROOT_ACCESS_KEY, ROOT_SECRET)));
        client.create_bucket("box").await.expect(200);
        client.put("box", "k", bytes).await.expect(200);
        (server, proxy, client)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_proxy_changes_nothing_without_a_rule() {
        let bytes = bytes_of(1, 3_000_000);
        let (_server, proxy, client) = stage(&bytes).await;
        assert_eq!(client.get("box", "k").await.expect(200).body, bytes);
        let part = client.call("GET", "/box/k").header("range", "bytes=5-9").send().await.expect(206);
        assert_eq!(part.body, bytes[5..10]);
        assert_eq!(client.head("box", "k").await.expect(200).header("content-length"), Some("3000000"));
        assert_eq!(proxy.requests(), ["PUT /box", "PUT /box/k", "GET /box/k", "GET /box/k", "HEAD /box/k"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_proxy_meets_those_it_is_told_to() {
        let (_server, proxy, client) = stage(b"x").await;
        let fault = Fault::Status { status: 429, retry_after: Some(7) };
        proxy.arm([Rule::nth(1, fault.clone()).method("GET").part("/k")]);
        client.head("box", "k").await.expect(200);
        client.get("box", "k").await.expect(200);
        client.list("box", "").await.expect(200);
        assert_eq!(client.get("box", "k").await.expect(429).header("retry-after"), Some("7"));
        client.get("box", "k").await.expect(200);
        assert_eq!(proxy.disarm(), 1);
        proxy.arm([Rule::always(fault)]);
        client.head("box", "k").await.expect(429);
        client.put("box", "k", "y").await.expect(429);
        assert_eq!(proxy.disarm(), 2);
        assert_eq!(client.get("box", "k").await.expect(200).body, "x");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_proxy_breaks_what_it_is_told_to() {
        let bytes = bytes_of(2, 1_000_000);
        let (_server, proxy, client) = stage(&bytes).await;
        let get = || client.try_send(client.call("GET", "/box/k").signed());
        for fault in [Fault::Reset, Fault::ResetAfter, Fault::ResetMid(500_000), Fault::Cut(500_000)] {
            proxy.arm([Rule::nth(0, fault.clone())]);
            assert!(get().await.is_err(), "{fault:?}");
            assert_eq!(get().await.expect("an answer").body, bytes);
        }
        proxy.arm([Rule::nth(0, Fault::Shorter(1)), Rule::nth(1, Fault::Etag)]);
        assert_eq!(get().await.expect("an answer").body, bytes[..999_999]);
        assert_eq!(get().await.expect("an answer").header("etag"), Some("\"of something else\""));
        proxy.arm([Rule::nth(0, Fault::Redirect("http://127.0.0.1:9/x".to_owned()))]);
        assert_eq!(get().await.expect("an answer").header("location"), Some("http://127.0.0.1:9/x"));
        assert_eq!(proxy.disarm(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_proxy_loses_answers_and_keeps_effects() {
        let (server, proxy, client) = stage(b"x").await;
        let put = |body: &str| client.try_send(client.call("PUT", "/box/k").body(body).signed());
        proxy.arm([Rule::nth(0, Fault::Reset)]);
        assert!(put("never sent").await.is_err());
        assert_eq!(server.root().get("box", "k").await.expect(200).body, "x");
        proxy.arm([Rule::nth(0, Fault::ResetAfter)]);
        assert!(put("sent").await.is_err());
        assert_eq!(server.root().get("box", "k").await.expect(200).body, "sent");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_proxy_delays_and_hangs() {
        let (_server, proxy, client) = stage(b"x").await;
        let began = Instant::now();
        proxy.arm([Rule::nth(0, Fault::Delay(Duration::from_millis(300))), Rule::nth(1, Fault::Hang)]);
        client.get("box", "k").await.expect(200);
        assert!(began.elapsed() >= Duration::from_millis(300));
        let hung = tokio::time::timeout(Duration::from_millis(500), client.get("box", "k")).await;
        assert!(hung.is_err(), "{hung:?}");
        client.get("box", "k").await.expect(200);
    }
}
