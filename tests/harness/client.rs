//! A small S3 client: one connection per request, everything about the request in the hands of the test.
//!
//! **Invariant:** an answer is read to its end, so that a cut body is an error and never a short one.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::sign::{self, Auth, Keys, Payload, Signed, now_plus};

/// Who asks, and where.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    keys: Option<Keys>,
    /// What stands in front of every path.
    base: &'static str,
}

type Spoil<'c> = Box<dyn FnOnce(&mut Signed) + Send + 'c>;

/// One request on its way: what is not set is as a well-behaved client has it.
pub(crate) struct Call<'c> {
    client: &'c Client,
    request: sign::Request,
    /// Changes to the signed request, in order.
    spoils: Vec<Spoil<'c>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The ETag without quotes.
    pub(crate) fn etag(&self) -> &str {
        self.header("etag").unwrap_or_else(|| panic!("no ETag: {self:?}")).trim_matches('"')
    }

    /// The code of an error in XML.
    pub(crate) fn code(&self) -> String {
        self.elements("Code").into_iter().next().unwrap_or_default()
    }

    /// The texts of all elements of this name, as they stand, in order.
    pub(crate) fn elements(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        text.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(text, _)| text.to_owned()).collect()
    }

    /// Requires a status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, self.text());
        self
    }

    /// Requires a status and a code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.code(), code, "{}", answer.text());
        answer
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, keys: Option<Keys>) -> Self {
        Self { address, keys, base: "" }
    }

    /// The same server for somebody with other keys.
    pub(crate) fn with_keys(&self, keys: Option<Keys>) -> Self {
        Self { keys, ..self.clone() }
    }

    /// The same for whom everything is below a path.
    pub(crate) fn below(&self, base: &'static str) -> Self {
        Self { base, ..self.clone() }
    }

    /// The keys it signs with.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// A request to a path that is not yet escaped.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call<'_> {
        let request = sign::Request {
            method: method.to_owned(),
            path: format!("{}{path}", self.base),
            query: Vec::new(),
            headers: vec![("host".to_owned(), self.address.to_string())],
            body: Vec::new(),
            auth: if self.keys.is_some() { Auth::Header } else { Auth::Anonymous },
            payload: Payload::Hashed,
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
            at: now_plus(0),
            unsigned: Vec::new(),
        };
        Call { client: self, request, spoils: Vec::new() }
    }

    pub(crate) async fn create_bucket(&self, bucket: &str) -> Answer {
        self.call("PUT", &format!("/{bucket}")).send().await
    }

    pub(crate) async fn put(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.call("PUT", &format!("/{bucket}/{key}")).body(body).send().await
    }

    pub(crate) async fn get(&self, bucket: &str, key: &str) -> Answer {
        self.call("GET", &format!("/{bucket}/{key}")).send().await
    }

    pub(crate) async fn head(&self, bucket: &str, key: &str) -> Answer {
        self.call("HEAD", &format!("/{bucket}/{key}")).send().await
    }

    pub(crate) async fn delete(&self, bucket: &str, key: &str) -> Answer {
        self.call("DELETE", &format!("/{bucket}/{key}")).send().await
    }

    /// The first page of a listing.
    pub(crate) async fn list(&self, bucket: &str, prefix: &str) -> Answer {
        self.call("GET", &format!("/{bucket}")).query("list-type", "2").query("prefix", prefix).send().await
    }

    /// The keys of all pages of a listing.
    pub(crate) async fn keys_of(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut call = self.call("GET", &format!("/{bucket}")).query("list-type", "2").query("prefix", prefix);
            if let Some(token) = &token {
                call = call.query("continuation-token", token);
            }
            let page = call.send().await.expect(200);
            keys.extend(page.elements("Key"));
            match page.elements("NextContinuationToken").pop() {
                Some(next) => token = Some(next),
                None => return keys,
            }
        }
    }

    /// Sends bytes as they are, closes the sending side, and returns what comes back until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(self.address).await.expect("a connection");
        let mut answer = Vec::new();
        // The server may close before it has read everything: then what it said before counts.
        if socket.write_all(bytes).await.is_ok() {
            let _ = socket.shutdown().await;
        }
        let _ = socket.read_to_end(&mut answer).await;
        answer
    }

    /// Sends the same request on many connections, and then leaves one after another, in their order, unanswered.
    pub(crate) async fn leave(&self, signed: &Signed, connections: usize, between: Duration) {
        let bytes = [signed.head().as_bytes(), &signed.body].concat();
        let mut sockets = Vec::new();
        for _ in 0..connections {
            let mut socket = TcpStream::connect(self.address).await.expect("a connection");
            socket.write_all(&bytes).await.expect("written");
            sockets.push(socket);
        }
        for socket in sockets {
            drop(socket);
            tokio::time::sleep(between).await;
        }
    }

    /// Sends what was signed.
    pub(crate) async fn send(&self, signed: Signed) -> Answer {
        self.try_send(signed).await.expect("an answer to its end")
    }

    /// Sends what was signed; the answer may be cut.
    pub(crate) async fn try_send(&self, signed: Signed) -> Result<Answer, hyper::Error> {
        Self::over(TcpStream::connect(self.address).await.expect("a connection"), signed).await
    }

    /// Sends what was signed; `None` if the server is gone, or goes before its answer is whole.
    pub(crate) async fn attempt(&self, signed: Signed) -> Option<Answer> {
        Self::over(TcpStream::connect(self.address).await.ok()?, signed).await.ok()
    }

    async fn over(socket: TcpStream, signed: Signed) -> Result<Answer, hyper::Error> {
        Line::on(socket).await?.try_send(signed).await
    }

    /// A connection for one request after the other, whoever signed them.
    pub(crate) async fn line(&self) -> Line {
        let socket = TcpStream::connect(self.address).await.expect("a connection");
        Line::on(socket).await.expect("a connection")
    }
}

/// The request for a client library.
pub(crate) fn request_of(signed: Signed) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(signed.method.as_str()).uri(signed.target);
    for (name, value) in signed.headers {
        request = request.header(name, http::HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    request.body(Full::new(Bytes::from(signed.body))).expect("a request")
}

/// A connection that stays open between requests, as long as the server lets it.
#[derive(Debug)]
pub(crate) struct Line {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<Result<(), hyper::Error>>,
}

impl Line {
    async fn on(socket: TcpStream) -> Result<Self, hyper::Error> {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        Ok(Self { sender, driver: tokio::spawn(connection) })
    }

    async fn try_send(&mut self, signed: Signed) -> Result<Answer, hyper::Error> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request_of(signed)).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// The answer; `None` if the server has closed the connection.
    pub(crate) async fn send(&mut self, signed: Signed) -> Option<Answer> {
        self.try_send(signed).await.ok()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl<'c> Call<'c> {
    /// With a parameter of the query.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.request.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a header, which is signed.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a header that is not signed.
    pub(crate) fn unsigned_header(mut self, name: &str, value: &str) -> Self {
        self.request.unsigned.push(name.to_ascii_lowercase());
        self.header(name, value)
    }

    /// With a body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = body.into();
        self
    }

    /// With the signature elsewhere.
    pub(crate) fn auth(mut self, auth: Auth) -> Self {
        self.request.auth = auth;
        self
    }

    /// With the body covered otherwise.
    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.request.payload = payload;
        self
    }

    /// Signed for another region and service.
    pub(crate) fn scope(mut self, region: &str, service: &str) -> Self {
        self.request.region = region.to_owned();
        self.request.service = service.to_owned();
        self
    }

    /// Signed so many seconds from now.
    pub(crate) fn at(mut self, seconds: i64) -> Self {
        self.request.at = now_plus(seconds);
        self
    }

    /// Changed after it was signed.
    pub(crate) fn spoil(mut self, change: impl FnOnce(&mut Signed) + Send + 'c) -> Self {
        self.spoils.push(Box::new(change));
        self
    }

    /// The request as it goes over the wire.
    pub(crate) fn signed(self) -> Signed {
        let mut signed = self.request.sign(self.client.keys.as_ref());
        for spoil in self.spoils {
            spoil(&mut signed);
        }
        signed
    }

    /// Sends it.
    pub(crate) async fn send(self) -> Answer {
        let client = self.client;
        client.send(self.signed()).await
    }
}
