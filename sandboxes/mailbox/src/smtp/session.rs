//! One conversation, as RFC 5321 has it, with pipelining, sizes, eight bits and UTF-8 addresses.

use std::io;

use chrono::{SubsecRound, Utc};
use smtp_proto::{
    EXT_8BIT_MIME, EXT_ENHANCED_STATUS_CODES, EXT_HELP, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8,
    EhloResponse, Error as Syntax, MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_SMTPUTF8, MailFrom, RcptTo,
    Request,
    request::receiver::{DummyLineReceiver, RequestReceiver},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Desk,
    intake::{Intake, Taken},
};
use crate::{faults::Fate, ledger::Envelope};

const HOSTNAME: &str = "mailbox.artel";
/// Commands that make no sense before the connection is closed.
const MISTAKES: u32 = 20;

/// Talks until the client quits, is silent too long, or the mailbox stops.
pub async fn converse(mut stream: TcpStream, desk: &Desk, stop: &CancellationToken) -> io::Result<()> {
    let mut talk = Talk {
        desk,
        out: Vec::new(),
        greeted: false,
        from: None,
        to: Vec::new(),
        utf8: false,
        mistakes: 0,
        open: true,
    };
    talk.say(220, "", format_args!("{HOSTNAME} ESMTP Artel mailbox"));
    let mut mode = Mode::Commands(RequestReceiver::default());
    let mut buffer = vec![0; 16 * 1024];
    while talk.open {
        talk.flush(&mut stream).await?;
        let idle = matches!(mode, Mode::Commands(_)) && talk.from.is_none();
        let read = tokio::select! {
            () = stop.cancelled(), if idle => {
                talk.leave(421, "4.3.2", "The mailbox is stopping; try again later");
                break;
            }
            read = timeout(desk.limits.idle, stream.read(&mut buffer)) => read,
        };
        let length = match read {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => read?,
            Err(_) => {
                talk.leave(421, "4.4.2", "Nothing was heard for too long");
                break;
            }
        };
        let mut bytes = buffer[..length].iter();
        while talk.open && !bytes.as_slice().is_empty() {
            mode = match mode {
                Mode::Commands(mut receiver) => match receiver.ingest(&mut bytes).map(Request::into_owned) {
                    Ok(Request::Data) if talk.may_send_data() => {
                        talk.say(354, "", "Send the message; end it with a dot on a line of its own");
                        Mode::Data(Intake::new(desk.limits.message_bytes))
                    }
                    Ok(request) => {
                        talk.answer(request);
                        Mode::Commands(receiver)
                    }
                    Err(Syntax::NeedsMoreData { .. }) => Mode::Commands(receiver),
                    Err(Syntax::ResponseTooLong) => {
                        talk.mistake(500, "5.5.6", "The line is too long");
                        Mode::SkipLine(DummyLineReceiver::default())
                    }
                    Err(error) => {
                        talk.wrong_syntax(&error);
                        Mode::Commands(receiver)
                    }
                },
                Mode::SkipLine(mut skip) => match skip.ingest(&mut bytes) {
                    true => Mode::Commands(RequestReceiver::default()),
                    false => Mode::SkipLine(skip),
                },
                Mode::Data(mut intake) => match intake.ingest(&mut bytes) {
                    Some(taken) => {
                        // What was answered before goes out now: keeping may take its time.
                        talk.flush(&mut stream).await?;
                        talk.take(taken).await;
                        Mode::Commands(RequestReceiver::default())
                    }
                    None => Mode::Data(intake),
                },
            };
        }
    }
    talk.flush(&mut stream).await?;
    stream.shutdown().await
}

enum Mode {
    Commands(RequestReceiver),
    SkipLine(DummyLineReceiver),
    Data(Intake),
}

struct Talk<'a> {
    desk: &'a Desk,
    out: Vec<u8>,
    greeted: bool,
    from: Option<String>,
    to: Vec<String>,
    utf8: bool,
    mistakes: u32,
    open: bool,
}

impl Talk<'_> {
    fn answer(&mut self, request: Request<String>) {
        match request {
            Request::Ehlo { .. } => {
                self.reset();
                self.greeted = true;
                let mut hello = EhloResponse::new(HOSTNAME);
                hello.capabilities = EXT_8BIT_MIME
                    | EXT_ENHANCED_STATUS_CODES
                    | EXT_HELP
                    | EXT_PIPELINING
                    | EXT_SIZE
                    | EXT_SMTP_UTF8;
                hello.size = self.desk.limits.message_bytes;
                if hello.write(&mut self.out).is_err() {
                    self.open = false;
                }
            }
            Request::Helo { .. } => {
                self.reset();
                self.greeted = true;
                self.say(250, "", HOSTNAME);
            }
            Request::Mail { from } => self.mail(from),
            Request::Rcpt { to } => self.rcpt(to),
            Request::Data if self.from.is_none() => {
                self.mistake(503, "5.5.1", "Begin a message with MAIL FROM");
            }
            Request::Data => self.refuse(554, "5.5.1", "The message has no recipients"),
            Request::Rset => {
                self.reset();
                self.say(250, "2.0.0", "Forgotten");
            }
            Request::Noop { .. } => self.say(250, "2.0.0", "OK"),
            Request::Vrfy { .. } => self.say(252, "2.5.0", "Every address is accepted here"),
            Request::Help { .. } => self.say(
                214,
                "2.0.0",
                "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY QUIT; nothing leaves this mailbox",
            ),
            Request::Quit => self.leave(221, "2.0.0", "Bye"),
            // Data would follow that is not a command; the only safe answer is the last one.
            Request::Bdat { .. } | Request::Burl { .. } => {
                self.leave(502, "5.5.1", "CHUNKING is not offered")
            }
            Request::Lhlo { .. }
            | Request::Auth { .. }
            | Request::Expn { .. }
            | Request::Etrn { .. }
            | Request::Atrn { .. }
            | Request::StartTls => {
                self.mistake(502, "5.5.1", "Not offered here; see the answer to EHLO");
            }
        }
    }

    fn mail(&mut self, mail: MailFrom<String>) {
        let limit = self.desk.limits.message_bytes;
        if !self.greeted {
            self.refuse(503, "5.5.1", "Say EHLO first");
        } else if self.from.is_some() {
            self.refuse(503, "5.5.1", "A message is begun already; RSET forgets it");
        } else if wants_unoffered(&mail) {
            self.refuse(555, "5.5.4", "A parameter of MAIL FROM is not offered in the answer to EHLO");
        } else if mail.size > limit {
            self.refuse(552, "5.3.4", format_args!("A message may have {limit} bytes, not {}", mail.size));
        } else if mail.flags & MAIL_SMTPUTF8 == 0 && !mail.address.is_ascii() {
            self.refuse(550, "5.6.7", "An address beyond ASCII needs the SMTPUTF8 parameter");
        } else {
            self.utf8 = mail.flags & MAIL_SMTPUTF8 != 0;
            self.from = Some(mail.address);
            self.say(250, "2.1.0", "Sender accepted");
        }
    }

    fn rcpt(&mut self, rcpt: RcptTo<String>) {
        if self.from.is_none() {
            self.refuse(503, "5.5.1", "Begin a message with MAIL FROM");
        } else if rcpt.orcpt.is_some() || rcpt.rrvs != 0 || rcpt.flags != 0 {
            self.refuse(555, "5.5.4", "A parameter of RCPT TO is not offered in the answer to EHLO");
        } else if !self.utf8 && !rcpt.address.is_ascii() {
            self.refuse(553, "5.6.7", "An address beyond ASCII needs SMTPUTF8 in MAIL FROM");
        } else if self.to.iter().any(|known| known.to_lowercase() == rcpt.address.to_lowercase()) {
            self.say(250, "2.1.5", "Recipient accepted already");
        } else if self.to.len() >= self.desk.limits.recipients {
            self.refuse(452, "4.5.3", "Too many recipients; send the rest in another message");
        } else {
            self.to.push(rcpt.address);
            self.say(250, "2.1.5", "Recipient accepted");
        }
    }

    fn may_send_data(&self) -> bool {
        self.from.is_some() && !self.to.is_empty()
    }

    async fn take(&mut self, taken: Taken) {
        let envelope = Envelope {
            id: uuid::Uuid::now_v7(),
            // Milliseconds, as they are shown.
            time: Utc::now().trunc_subsecs(3),
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
        };
        self.reset();
        let raw = match taken {
            Taken::Message(raw) => raw,
            Taken::TooLong => {
                let limit = self.desk.limits.message_bytes;
                return self.refuse(552, "5.3.4", format_args!("The message is longer than {limit} bytes"));
            }
            Taken::LineTooLong => {
                return self.refuse(550, "5.6.0", "A line of the message is longer than 998 bytes");
            }
        };
        let (delay, fate) = self.desk.faults.next(rand::random());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let hang_up = match fate {
            Fate::TemporaryFailure => return self.refuse(451, "4.3.0", "Told to fail; try again later"),
            Fate::Reject => return self.refuse(550, "5.7.1", "Told to refuse this message"),
            Fate::Keep { hang_up } => hang_up,
        };
        let id = envelope.id;
        tracing::debug!(%id, from = envelope.from, recipients = envelope.to.len(), bytes = raw.len(), "message");
        match self.desk.clerk.keep(envelope, raw).await {
            Ok(()) if hang_up => self.open = false,
            Ok(()) => self.say(250, "2.0.0", format_args!("Kept as {id}")),
            Err(_) => self.refuse(451, "4.3.0", "The message could not be written; try again later"),
        }
    }

    fn wrong_syntax(&mut self, error: &Syntax) {
        match error {
            Syntax::UnknownCommand => self.mistake(500, "5.5.2", "Unknown command"),
            Syntax::InvalidSenderAddress => self.mistake(501, "5.1.7", "The sender's address is not one"),
            Syntax::InvalidRecipientAddress => {
                self.mistake(501, "5.1.3", "The recipient's address is not one")
            }
            Syntax::SyntaxError { syntax } => {
                self.mistake(501, "5.5.2", format_args!("Expected: {syntax}"));
            }
            Syntax::InvalidParameter { param } => {
                self.mistake(501, "5.5.4", format_args!("The parameter {param} has no valid value"));
            }
            _ => self.mistake(555, "5.5.4", "A parameter is not known here"),
        }
    }

    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
        self.utf8 = false;
    }

    /// A client that sends what no mail client sends is a browser or a mistake; it is let go after a while.
    fn mistake(&mut self, code: u16, status: &str, text: impl std::fmt::Display) {
        self.mistakes += 1;
        if self.mistakes >= MISTAKES {
            self.leave(421, "4.7.0", "Too many mistakes");
        } else {
            self.refuse(code, status, text);
        }
    }

    fn refuse(&mut self, code: u16, status: &str, text: impl std::fmt::Display) {
        self.desk.refuse();
        self.say(code, status, text);
    }

    fn leave(&mut self, code: u16, status: &str, text: &str) {
        self.say(code, status, text);
        self.open = false;
    }

    fn say(&mut self, code: u16, status: &str, text: impl std::fmt::Display) {
        let gap = if status.is_empty() { "" } else { " " };
        self.out.extend_from_slice(format!("{code} {status}{gap}{text}\r\n").as_bytes());
    }

    async fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        if !self.out.is_empty() {
            timeout(self.desk.limits.idle, stream.write_all(&self.out)).await??;
            self.out.clear();
        }
        Ok(())
    }
}

fn wants_unoffered(mail: &MailFrom<String>) -> bool {
    let offered = MAIL_BODY_7BIT | MAIL_BODY_8BITMIME | MAIL_SMTPUTF8;
    mail.flags & !offered != 0
        || mail.trans_id.is_some()
        || mail.env_id.is_some()
        || mail.solicit.is_some()
        || mail.mtrk.is_some()
        || mail.auth.is_some()
        || mail.by != 0
        || mail.hold_for != 0
        || mail.hold_until != 0
        || mail.mt_priority != 0
}
