//! The framing of `multipart/form-data`: where a part begins and ends, in bytes that come in frames of any size.
//!
//! **Invariant:** what is kept is one frame, one head of a part and one delimiter; of a part whose end was not seen, no
//! byte that may belong to a delimiter is given out.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::config::limits::FORM_HEAD_BYTES_MAX;

/// Longest boundary, in bytes (RFC 2046).
const BOUNDARY_BYTES_MAX: usize = 70;
/// Most lines of the head of a part.
const HEAD_LINES_MAX: usize = 16;

/// The body is not a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What the head of a part says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The name of the field.
    pub(crate) name: String,
    /// The name of the file, if one was sent.
    pub(crate) filename: Option<String>,
    /// Its type, if one was sent.
    pub(crate) content_type: Option<String>,
    /// How its bytes are written, if that was said.
    pub(crate) transfer_encoding: Option<String>,
    /// User metadata in JSON and base64, which programs that know us send along.
    pub(crate) metadata: Option<String>,
}

impl Head {
    /// Takes in a line. `named`: whether one has said the name.
    fn take(&mut self, name: &str, value: &str, named: &mut bool) -> Result<(), Malformed> {
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "content-type" => self.content_type = Some(value.to_owned()),
            "content-transfer-encoding" => self.transfer_encoding = Some(value.to_owned()),
            "x-longshore-metadata" => self.metadata = Some(value.to_owned()),
            "content-disposition" => {
                let (kind, parameters) = value.split_once(';').ok_or(Malformed)?;
                if !kind.trim().eq_ignore_ascii_case("form-data") || *named {
                    return Err(Malformed);
                }
                *named = true;
                self.name = parameter(parameters, "name").ok_or(Malformed)?;
                self.filename = extended(parameters).or_else(|| parameter(parameters, "filename"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A part begins.
    Part(Head),
    /// Bytes of it.
    Data(Bytes),
    /// It is whole.
    PartEnd,
    /// The last part was.
    End,
    /// Nothing before more bytes have come.
    More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Start,
    /// Behind a delimiter.
    Delimited,
    /// In the head of a part.
    Head,
    /// In the bytes of a part.
    Data,
    /// Behind the last delimiter.
    End,
}

/// Reads the framing.
#[derive(Debug)]
pub(crate) struct Parser {
    /// A line end, two dashes, the boundary.
    delimiter: Vec<u8>,
    held: BytesMut,
    state: State,
}

impl Parser {
    /// For a body with this `Content-Type`; `None` if it names no boundary.
    pub(crate) fn new(content_type: &str) -> Option<Self> {
        let boundary = parameter(content_type.split_once(';')?.1, "boundary")?;
        let legal = |b: u8| b.is_ascii_graphic() || b == b' ';
        if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX || !boundary.bytes().all(legal) {
            return None;
        }
        let mut held = BytesMut::new();
        // The first delimiter has no line in front of it.
        held.extend_from_slice(b"\r\n");
        Some(Self { delimiter: format!("\r\n--{boundary}").into_bytes(), held, state: State::Start })
    }

    /// Takes a frame.
    pub(crate) fn push(&mut self, frame: &[u8]) {
        self.held.extend_from_slice(frame);
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Result<Event, Malformed> {
        loop {
            match self.state {
                State::Start => {
                    let Some(begun) = self.begins(self.delimiter.len())? else { return Ok(Event::More) };
                    self.held.advance(begun);
                    self.state = State::Delimited;
                }
                State::Delimited => match self.held.get(..2) {
                    None => return Ok(Event::More),
                    Some(b"--") => {
                        self.held.advance(2);
                        self.state = State::End;
                    }
                    Some(b"\r\n") => {
                        self.held.advance(2);
                        self.state = State::Head;
                    }
                    Some(_) => return Err(Malformed),
                },
                State::Head => {
                    let Some(end) = find(&self.held, b"\r\n\r\n") else {
                        return if self.held.len() > FORM_HEAD_BYTES_MAX { Err(Malformed) } else { Ok(Event::More) };
                    };
                    if end > FORM_HEAD_BYTES_MAX {
                        return Err(Malformed);
                    }
                    let head = self.held.split_to(end + 4);
                    self.state = State::Data;
                    return head_of(&head[..end]).map(Event::Part);
                }
                State::Data => return Ok(self.data()),
                State::End => {
                    self.held.clear();
                    return Ok(Event::End);
                }
            }
        }
    }

    /// Whether the body begins with the delimiter, which may be behind a line end of its own.
    fn begins(&self, whole: usize) -> Result<Option<usize>, Malformed> {
        for skip in [0, 2] {
            let rest = self.held.get(skip..).unwrap_or_default();
            let known = rest.len().min(whole);
            if rest[..known] == self.delimiter[..known] {
                return Ok((known == whole).then_some(skip + whole));
            }
        }
        Err(Malformed)
    }

    fn data(&mut self) -> Event {
        match find(&self.held, &self.delimiter) {
            Some(0) => {
                self.held.advance(self.delimiter.len());
                self.state = State::Delimited;
                Event::PartEnd
            }
            Some(at) => Event::Data(self.held.split_to(at).freeze()),
            None => {
                let kept = tail(&self.held, &self.delimiter);
                let free = self.held.len() - kept;
                if free == 0 { Event::More } else { Event::Data(self.held.split_to(free).freeze()) }
            }
        }
    }
}

/// Where a word is that holds one carriage return, at its beginning, or begins with the only two it holds.
fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == b'\r') {
        from += at;
        if bytes[from..].starts_with(word) {
            return Some(from);
        }
        from += 1;
    }
    None
}

/// How many bytes at the end may be the beginning of a word.
fn tail(bytes: &[u8], word: &[u8]) -> usize {
    let longest = bytes.len().min(word.len() - 1);
    (1..=longest).rev().find(|n| bytes.ends_with(&word[..*n])).unwrap_or(0)
}

fn head_of(head: &[u8]) -> Result<Head, Malformed> {
    let text = std::str::from_utf8(head).map_err(|_| Malformed)?;
    let (mut found, mut named) = (Head::default(), false);
    for (number, line) in text.split("\r\n").enumerate() {
        let (name, value) = line.split_once(':').ok_or(Malformed)?;
        if number == HEAD_LINES_MAX || line.contains(['\r', '\n', '\0']) {
            return Err(Malformed);
        }
        found.take(name, value, &mut named)?;
    }
    if named { Ok(found) } else { Err(Malformed) }
}

/// The first value of a parameter of a header.
fn parameter(mut rest: &str, wanted: &str) -> Option<String> {
    loop {
        let (name, behind) = rest.trim_start_matches([' ', '\t', ';']).split_once('=')?;
        let (value, behind) = value_of(behind)?;
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = behind;
    }
}

/// A value in quotes, or up to the next semicolon, and what is behind it. A backslash is one, but for that of a quote:
/// browsers send paths.
fn value_of(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim_end().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' if letters.peek().is_some_and(|(_, next)| *next == '"') => {
                value.push('"');
                letters.next();
            }
            letter => value.push(letter),
        }
    }
    None
}

/// The name of a file as RFC 5987 has it.
fn extended(parameters: &str) -> Option<String> {
    let value = parameter(parameters, "filename*")?;
    let (charset, rest) = value.split_once('\'')?;
    let (_, escaped) = rest.split_once('\'')?;
    let text = percent_encoding::percent_decode_str(escaped).decode_utf8().ok()?;
    charset.eq_ignore_ascii_case("utf-8").then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=b0";

    /// Name, name of the file, bytes.
    type Part = (String, Option<String>, Vec<u8>);

    /// The parts, read in frames of a size.
    fn parts(body: &[u8], frame: usize) -> Result<Vec<Part>, Malformed> {
        let mut parser = Parser::new(TYPE).expect("a boundary");
        let mut frames = body.chunks(frame);
        let mut parts = Vec::new();
        loop {
            match parser.next()? {
                Event::Part(head) => parts.push((head.name, head.filename, Vec::new())),
                Event::Data(data) => parts.last_mut().expect("a part").2.extend_from_slice(&data),
                Event::PartEnd => {}
                Event::End => return Ok(parts),
                Event::More => parser.push(frames.next().ok_or(Malformed)?),
            }
        }
    }

    fn part(name: &str, body: &str) -> String {
        format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{body}\r\n")
    }

    #[test]
    fn parts_are_found_however_the_body_is_cut() {
        let data = "\r\n\r\r\n--b\r\n--b1\r\n-";
        let body = format!("{}{}--b0--\r\nepilogue", part("key", "k"), part("file", data));
        let wanted = vec![("key".to_owned(), None, b"k".to_vec()), ("file".to_owned(), None, data.into())];
        for frame in [1, 2, 3, 7, 64, 4096] {
            assert_eq!(parts(body.as_bytes(), frame).as_ref(), Ok(&wanted), "{frame}");
            let behind = format!("\r\n{body}");
            assert_eq!(parts(behind.as_bytes(), frame).as_ref(), Ok(&wanted), "{frame}");
        }
        for cut in 1..body.len() - 10 {
            assert_eq!(parts(&body.as_bytes()[..cut], 5), Err(Malformed), "{cut}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let long = format!("--b0\r\nX: {}", "x".repeat(FORM_HEAD_BYTES_MAX + 100));
        let lines = format!("--b0\r\n{}\r\n\r\n--b0--", vec!["X: y"; HEAD_LINES_MAX + 1].join("\r\n"));
        for body in [
            "",
            "--b1--",
            "preamble\r\n--b0--",
            "--b0x\r\n",
            "--b0\r\n\r\nno head\r\n--b0--",
            "--b0\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b0--",
            "--b0\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n--b0--",
            "--b0\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b0--",
            "--b0\r\nContent-Type: text/plain\r\n\r\nx\r\n--b0--",
            &long,
            &lines,
        ] {
            assert_eq!(parts(body.as_bytes(), 16), Err(Malformed), "{body:.60}");
        }
    }

    #[test]
    fn boundaries_are_named_by_the_type() {
        let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
        for (text, found) in [
            ("multipart/form-data; boundary=b", true),
            ("multipart/form-data; charset=utf-8; Boundary=\"a b\"", true),
            ("multipart/form-data", false),
            ("multipart/form-data; boundary=", false),
            ("multipart/form-data; boundary=\"b", false),
            ("multipart/form-data; boundary=é", false),
            (&long, false),
        ] {
            assert_eq!(Parser::new(text).is_some(), found, "{text}");
        }
    }

    #[test]
    fn names_are_read_as_browsers_send_them() {
        for (line, name, filename) in [
            ("name=\"a\"; filename=\"C:\\dir\\f.txt\"", "a", Some("C:\\dir\\f.txt")),
            ("filename=\"a \\\"b\\\".txt\"; name=x", "x", Some("a \"b\".txt")),
            ("name=\"é\"; filename*=UTF-8''%C3%A9", "é", Some("é")),
            ("name=\"filename=no\"", "filename=no", None),
        ] {
            let head = format!("content-disposition: Form-Data; {line}");
            let head = head_of(head.as_bytes()).expect("a head");
            assert_eq!((head.name.as_str(), head.filename.as_deref()), (name, filename), "{line}");
        }
    }
}
