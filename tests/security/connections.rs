//! One connection that several callers use one after the other, as behind a proxy that keeps a few of them open.
//!
//! **Invariant:** who asks is known from a request alone: whatever came before it on its connection, and however that
//! ended, it has the rights of its own caller and sees nothing of another's.

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore::model::action::Action;
use tokio::net::TcpStream;

use super::operations::OPERATIONS;
use super::rights::{BOB, Right, Vault, asks, is_refusal};
use super::site::KEY;
use crate::harness::client::{Line, request_of};
use crate::harness::{Answer, Client, Server, Signed};

/// Bytes of an object that is long under way.
const LONG_BYTES: usize = 8 << 20;

/// Sends over a line, or over a new one if the server closed the old: then there is nothing that could be left on it.
async fn send(line: &mut Line, client: &Client, signed: Signed, reopened: &mut usize) -> Answer {
    if let Some(answer) = line.send(signed.clone()).await {
        return answer;
    }
    *reopened += 1;
    *line = client.line().await;
    line.send(signed).await.expect("an answer on a new connection")
}

#[tokio::test]
async fn whoever_asks_next_on_a_connection_is_somebody_else() {
    let server = Server::start();
    let (ann, bob) = (server.user("ann", "readwrite"), server.user("bob", "readwrite"));
    let nobody = server.anonymous();
    let closed = Vault::new(&ann, "closed".to_owned()).await;
    let (mut wrong, mut asked, mut reopened) = (Vec::new(), 0, 0);
    for (n, operation) in OPERATIONS.iter().enumerate() {
        let (right, status) = asks(operation);
        let open = Vault::new(&ann, format!("open-{n}")).await;
        open.allow(&ann, BOB, [Action::ListBucket].into_iter()).await;
        let mut line = ann.line().await;
        // Another time of the day that the scope names.
        let spoiled = |signed: &mut Signed| {
            let day = signed.header("x-amz-date").expect("a date")[..8].to_owned();
            signed.set_header("x-amz-date", &format!("{day}T000000Z"));
        };
        for (before, call, expected) in [
            ("a success of ann's", open.call(operation, &ann), Some(status)),
            ("a refusal of ann's", open.call(operation, &ann).spoil(spoiled), Some(403)),
            ("an error of ann's", ann.call("GET", "/nowhere/at/all"), Some(404)),
        ] {
            let answer = send(&mut line, &ann, call.signed(), &mut reopened).await;
            if expected.is_some_and(|expected| expected != answer.status) {
                wrong.push(format!("{before}, {}: {} {}", operation.name, answer.status, answer.text()));
            }
            for (who, client) in [("nobody", &nobody), ("bob", &bob)] {
                // What is everybody's own right is refused to nobody in particular alone.
                if matches!(right, Right::Own) && who == "bob" {
                    continue;
                }
                let signed = closed.call(operation, client).signed();
                let answer = send(&mut line, &ann, signed, &mut reopened).await;
                wrong.extend(is_refusal(operation, &answer, &format!("{who}, after {before},")));
            }
            asked += 3;
        }
        let names = send(&mut line, &ann, bob.call("GET", "/").signed(), &mut reopened).await.expect(200);
        assert_eq!(names.elements("Name"), Vec::<String>::new(), "bob has no bucket");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(reopened * 3 < asked, "{reopened} of {asked} requests found their connection closed");
}

/// A connection of HTTP/2, on which requests are under way at the same time.
struct Streams(SendRequest<BoxBody<Bytes, std::io::Error>>);

impl Streams {
    async fn to(server: &Server) -> Self {
        let socket = TcpStream::connect(server.s3).await.expect("a connection");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
        let (sender, connection) = handshake.expect("HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    /// A request with a body of its own making.
    fn request(
        signed: Signed,
        body: Option<BoxBody<Bytes, std::io::Error>>,
    ) -> Request<BoxBody<Bytes, std::io::Error>> {
        let authority = signed.header("host").expect("a host").to_owned();
        let (mut head, whole) = request_of(signed).into_parts();
        let path = head.uri.path_and_query().expect("a path").clone();
        head.uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build().expect("a URI");
        Request::from_parts(head, body.unwrap_or_else(|| whole.map_err(|never| match never {}).boxed()))
    }

    async fn send(&self, signed: Signed) -> Answer {
        let answer = self.0.clone().send_request(Self::request(signed, None)).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Takes the first bytes of an answer, and no more.
    async fn leave(&self, signed: Signed) {
        let answer = self.0.clone().send_request(Self::request(signed, None)).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let first = answer.into_body().frame().await.expect("a frame").expect("bytes");
        assert!(first.data_ref().is_some_and(|data| data.len() < LONG_BYTES), "the answer is still under way");
    }

    /// Sends the first half of a body, and no more until the server has enough of it.
    async fn stall(&self, mut signed: Signed) -> u16 {
        signed.set_header("content-length", &signed.body.len().to_string());
        let half = Bytes::from(signed.body.split_off(signed.body.len() / 2));
        let frames = futures_util::StreamExt::chain(stream::iter([Ok(Frame::data(half))]), stream::pending());
        let request = Self::request(signed, Some(StreamBody::new(frames).boxed()));
        self.0.clone().send_request(request).await.expect("an answer to half a body").status().as_u16()
    }

    /// Sends the first half of a body, and breaks off.
    async fn break_off(&self, mut signed: Signed) {
        signed.set_header("content-length", &signed.body.len().to_string());
        let half = Bytes::from(signed.body.split_off(signed.body.len() / 2));
        let gone = std::io::Error::other("the client is gone");
        let frames = stream::iter([Ok(Frame::data(half)), Err(gone)]);
        let request = Self::request(signed, Some(StreamBody::new(frames).boxed()));
        self.0.clone().send_request(request).await.expect_err("no answer to half a body");
    }
}

#[tokio::test]
async fn callers_share_a_connection_and_nothing_else() {
    let server = Server::start();
    let (ann, bob) = (server.user("ann", "readwrite"), server.user("bob", "readwrite"));
    let nobody = server.anonymous();
    let closed = Vault::new(&ann, "closed".to_owned()).await;
    ann.put("closed", "long", vec![b'a'; LONG_BYTES]).await.expect(200);
    let streams = Streams::to(&server).await;
    let long = |client: &Client, method: &str| {
        let call = client.call(method, "/closed/long");
        (if method == "PUT" { call.body(vec![b'b'; LONG_BYTES]) } else { call }).signed()
    };
    let mut wrong = Vec::new();
    for (n, operation) in OPERATIONS.iter().enumerate() {
        let (right, status) = asks(operation);
        let open = Vault::new(&ann, format!("open-{n}")).await;
        open.allow(&ann, BOB, [Action::ListBucket].into_iter()).await;
        let own = matches!(right, Right::Own);
        // All under way at once; and ann's are cut short in between.
        let (of_ann, of_nobody, of_bob, (), ()) = tokio::join!(
            streams.send(open.call(operation, &ann).signed()),
            streams.send(closed.call(operation, &nobody).signed()),
            streams.send(closed.call(operation, if own { &nobody } else { &bob }).signed()),
            streams.leave(long(&ann, "GET")),
            streams.break_off(long(&ann, "PUT")),
        );
        if of_ann.status != status {
            wrong.push(format!("ann and {}: {} {}", operation.name, of_ann.status, of_ann.text()));
        }
        wrong.extend(is_refusal(operation, &of_nobody, "nobody, beside ann,"));
        wrong.extend(is_refusal(operation, &of_bob, "bob, beside ann,"));
        let after = streams.send(closed.call(operation, &nobody).signed()).await;
        wrong.extend(is_refusal(operation, &after, "nobody, after what ann broke off,"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let kept = streams.send(long(&ann, "GET")).await.expect(200);
    assert!(kept.body.iter().all(|byte| *byte == b'a'), "half a body was stored");
    assert_eq!(streams.send(ann.call("GET", &format!("/closed/{KEY}")).signed()).await.text(), "bytes of ann");
}

/// The server waits for a body as long as it says; so does this.
#[tokio::test]
async fn a_body_that_stops_coming_leaves_nothing_to_the_next() {
    let server = Server::start();
    let (ann, bob) = (server.user("ann", "readwrite"), server.user("bob", "readwrite"));
    let nobody = server.anonymous();
    let closed = Vault::new(&ann, "closed".to_owned()).await;
    ann.put("closed", "long", vec![b'a'; LONG_BYTES]).await.expect(200);
    let streams = Streams::to(&server).await;
    let half = ann.call("PUT", "/closed/long").body(vec![b'b'; LONG_BYTES]).signed();
    let part_of = async |when: &str| {
        let mut wrong = Vec::new();
        for operation in &OPERATIONS {
            let own = matches!(asks(operation).0, Right::Own);
            let of_bob = streams.send(closed.call(operation, if own { &nobody } else { &bob }).signed()).await;
            wrong.extend(is_refusal(operation, &of_bob, when));
            let of_nobody = streams.send(closed.call(operation, &nobody).signed()).await;
            wrong.extend(is_refusal(operation, &of_nobody, when));
        }
        wrong
    };
    let (status, wrong) = tokio::join!(streams.stall(half), part_of("beside a body that does not come,"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(status, 400, "what AWS answers to a body that stops");
    let wrong = part_of("after a body that did not come,").await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let kept = streams.send(ann.call("GET", "/closed/long").signed()).await.expect(200);
    assert!(kept.body.len() == LONG_BYTES && kept.body.iter().all(|byte| *byte == b'a'), "half a body was stored");
}
