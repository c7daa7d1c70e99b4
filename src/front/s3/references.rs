//! Characters that a document names by number.
//!
//! A writer of plain ASCII (Python's `xml.etree`, and with it MinIO's client for Python) writes what lies beyond it as
//! references, an emoji as `&#128512;`. XML 1.0, section 2.2, allows every character up to U+10FFFF; s3s refuses those
//! from U+10000 to U+FFFFF. So they are put as the bytes they stand for, behind the signature and the digests, which are
//! of what was sent.
//!
//! **Invariant:** a document keeps its length, which s3s compares: blanks behind its end make up for what became shorter.
//! What is no XML (a policy) passes as it is.

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

/// Longest reference that is looked at: `&#x` or `&#`, eight digits with their leading zeros, `;`.
const REFERENCE_BYTES_MAX: usize = 12;

/// Stands in the extensions of a request whose body is a document with text in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document;

/// The document with such characters as bytes.
pub(super) fn as_bytes(body: s3s::Body) -> s3s::Body {
    let frames = stream::unfold(Some((body, Reader::default())), |state| async move {
        let (mut body, mut reader) = state?;
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Some((Ok(Frame::data(reader.take(data))), Some((body, reader)))),
                Err(trailers) => Some((Ok(trailers), Some((body, reader)))),
            },
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Ok(Frame::data(reader.end())), None)),
        }
    });
    s3s::Body::http_body_unsync(StreamBody::new(Box::pin(frames)))
}

#[derive(Debug, Default)]
struct Reader {
    /// Whether the document is XML; `None`: nothing but blanks came yet.
    xml: Option<bool>,
    /// The end of what came, which may be the beginning of a reference.
    held: Vec<u8>,
    /// Bytes by which the document became shorter.
    owed: usize,
}

impl Reader {
    fn take(&mut self, data: Bytes) -> Bytes {
        const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
        let first = data.iter().find(|byte| !byte.is_ascii_whitespace() && !BYTE_ORDER_MARK.contains(byte));
        self.xml = self.xml.or(first.map(|byte| *byte == b'<'));
        if self.xml != Some(true) || (self.held.is_empty() && !data.contains(&b'&')) {
            return data;
        }
        self.held.extend_from_slice(&data);
        let all = std::mem::take(&mut self.held);
        let mut plain = Vec::with_capacity(all.len());
        let mut rest = &all[..];
        while let Some(at) = rest.iter().position(|byte| *byte == b'&') {
            plain.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            let near = &rest[..rest.len().min(REFERENCE_BYTES_MAX)];
            let Some(end) = near.iter().position(|byte| *byte == b';') else {
                if near.len() < REFERENCE_BYTES_MAX {
                    self.held = rest.to_vec();
                    return plain.into();
                }
                plain.push(b'&');
                rest = &rest[1..];
                continue;
            };
            let Some(character) = character(&near[..=end]) else {
                plain.push(b'&');
                rest = &rest[1..];
                continue;
            };
            plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            self.owed += end + 1 - character.len_utf8();
            rest = &rest[end + 1..];
        }
        plain.extend_from_slice(rest);
        plain.into()
    }

    fn end(&mut self) -> Bytes {
        let mut rest = std::mem::take(&mut self.held);
        rest.resize(rest.len() + std::mem::take(&mut self.owed), b' ');
        rest.into()
    }
}

/// The character that `&#…;` stands for, if it is one that s3s does not take so.
fn character(reference: &[u8]) -> Option<char> {
    let number = std::str::from_utf8(reference).ok()?.strip_prefix("&#")?.strip_suffix(';')?;
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |hex| (hex, 16));
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, radix).ok()?).filter(|character| *character > '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, frame_bytes: usize) -> String {
        let mut reader = Reader::default();
        let mut bytes = Vec::new();
        for frame in text.as_bytes().chunks(frame_bytes) {
            bytes.extend_from_slice(&reader.take(Bytes::copy_from_slice(frame)));
        }
        bytes.extend_from_slice(&reader.end());
        assert_eq!(bytes.len(), text.len(), "{text}");
        String::from_utf8(bytes).expect("text").trim_end_matches(' ').to_owned()
    }

    #[test]
    fn characters_beyond_the_plane_come_as_bytes_wherever_a_frame_ends() {
        for (sent, wanted) in [
            ("<K>a&#128512;b&#x1F600;c&#x1f600;</K>", "<K>a\u{1f600}b\u{1f600}c\u{1f600}</K>"),
            ("<K>&#x10000;&#x0010FFFF;&#65536;</K>", "<K>\u{10000}\u{10ffff}\u{10000}</K>"),
            ("\u{feff} \n<K>&#128512;</K>", "\u{feff} \n<K>\u{1f600}</K>"),
            ("<K>&amp;#128512;&#228;&#xFFFF;&lt;</K>", "<K>&amp;#128512;&#228;&#xFFFF;&lt;</K>"),
            ("<K>&#x110000;&#xD800;&#;&#x;&#+65536;&#-1;&#99999999999999;&</K>", ""),
            ("<K>&&#128512;&", "<K>&\u{1f600}&"),
            ("<K>&#12", "<K>&#12"),
            ("{\"Sid\": \"<&#128512;>\"}", ""),
            ("", ""),
        ] {
            let wanted = if wanted.is_empty() { sent } else { wanted };
            for frame_bytes in 1..=sent.len().max(1) {
                assert_eq!(read(sent, frame_bytes), wanted, "frames of {frame_bytes}");
            }
        }
    }
}
