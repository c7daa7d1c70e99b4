//! The line of a request, written without a detour: there is one for every request, and the general way of writing an
//! event asks for every value how it would look in colour.
//!
//! **Invariant:** a line looks as [`Format`] writes it, and a text of a client is quoted, so that it cannot write a
//! second line.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::model::time::{Clock, Timestamp};

/// The target of the lines about requests.
pub(crate) const REQUEST: &str = "longshore::request";

/// Lines of text.
#[derive(Debug, Default)]
pub(super) struct Lines(Format);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, cx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // Whoever turns on the spans of a library gets to see them.
        if event.metadata().target() != REQUEST || cx.lookup_current().is_some() {
            return self.0.format_event(cx, writer, event);
        }
        moment(&mut writer, Clock::now())?;
        write!(writer, " {:>5} {REQUEST}:", event.metadata().level().as_str())?;
        let mut fields = Fields { writer, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        fields.writer.write_char('\n')
    }
}

/// `2026-11-22T01:02:03.000004Z`
fn moment(out: &mut impl fmt::Write, at: Timestamp) -> fmt::Result {
    let utc = at.to_utc();
    let (year, month, day) = (utc.year(), u8::from(utc.month()), utc.day());
    let (hour, minute, second) = utc.to_hms();
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", utc.microsecond())
}

/// Writes the fields of an event, each behind a space.
struct Fields<W> {
    writer: W,
    result: fmt::Result,
}

impl<W: fmt::Write> Fields<W> {
    /// Writes a name, and then what `value` writes.
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut W) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.name(field).and_then(|()| value(&mut self.writer));
        }
    }

    fn name(&mut self, field: &Field) -> fmt::Result {
        self.writer.write_char(' ')?;
        if field.name() == "message" {
            return Ok(());
        }
        self.writer.write_str(field.name())?;
        self.writer.write_char('=')
    }
}

impl<W: fmt::Write> Visit for Fields<W> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |writer| quoted(writer, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |writer| writer.write_str(if value { "true" } else { "false" }));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |writer| write!(writer, "{value:?}"));
    }
}

/// A text as `Debug` writes it; most hold nothing that needs an escape.
fn quoted(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    let plain = |b: u8| (b == b' ' || b.is_ascii_graphic()) && b != b'"' && b != b'\\';
    if !text.bytes().all(plain) {
        return write!(out, "{text:?}");
    }
    out.write_char('"')?;
    out.write_str(text)?;
    out.write_char('"')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_subscriber::fmt::layer;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("kept").clone()).expect("text")
        }
    }

    #[test]
    fn a_line_of_a_request_looks_like_every_other() {
        let (ours, general) = (Kept::default(), Kept::default());
        let (mine, theirs) = (ours.clone(), general.clone());
        let lines = tracing_subscriber::registry()
            .with(layer().event_format(Lines::default()).with_ansi(false).with_writer(move || mine.clone()))
            .with(layer().with_ansi(false).with_writer(move || theirs.clone()));
        tracing::subscriber::with_default(lines, || {
            let key = "a \"b\"\n\u{1b}[31mé";
            tracing::info!(target: REQUEST, id = "01AB", key, other = ?key, none = None::<&str>, n = 7_u64, cut = true);
            let error = std::io::Error::other("gone");
            tracing::warn!(target: REQUEST, id = "01AB", %error, "answer cut");
        });
        let (ours, general) = (ours.text(), general.text());
        assert_eq!(ours.lines().count(), 2, "{ours}");
        for (ours, general) in ours.lines().zip(general.lines()) {
            let ((moment, ours), (wanted, general)) =
                (ours.split_once(' ').expect("a moment"), general.split_once(' ').expect("a moment"));
            assert_eq!(ours, general);
            assert_eq!(moment.len(), wanted.len());
        }
    }

    #[test]
    fn moments_are_written_whole() {
        let mut text = String::new();
        moment(&mut text, Timestamp::from_parts(1_234_567_890, 1_002_000)).expect("written");
        assert_eq!(text, "2009-02-13T23:31:30.001002Z");
    }
}
