//! The mail server, over SMTP.

use anyhow::Context as _;
use artel_client::Call;
use artel_handle::Live;
use artel_proto::notify::Email;
use artel_util::time::to_chrono;
use async_trait::async_trait;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::Settings;
use crate::letter::Answer;
use crate::outbox::Carrier;

/// A mail server.
pub(crate) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    live: Live<Settings>,
    domain: String,
}

impl Smtp {
    /// Does not connect yet.
    pub fn new(live: Live<Settings>) -> anyhow::Result<Self> {
        let settings = live.get();
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.smtp)
            .context("notify.smtp must be an address such as smtp://host:port or smtps://host:port")?
            .timeout(Some(settings.send_within()))
            .pool_config(PoolConfig::new().max_size(settings.smtp_connections));
        if !settings.smtp_user.is_empty() && !settings.smtp_password.is_empty() {
            let password = settings.smtp_password.reveal().to_owned();
            transport = transport.credentials(Credentials::new(settings.smtp_user.clone(), password));
        }
        Ok(Self { transport: transport.build(), domain: settings.message_domain.clone(), live })
    }

    /// The e-mail as it goes over the wire: the same one gives the same Message-ID and date however often it is sent.
    /// Headers are made by lettre's types, which keep each value in its line.
    fn message(&self, email: &Email) -> anyhow::Result<Message> {
        let to = Mailbox::new(None, email.address.parse().context("the address is not valid")?);
        let mut builder = Message::builder()
            .from(self.live.get().from()?)
            .to(to)
            .subject(email.subject.clone())
            .message_id(Some(format!("<{}@{}>", email.id, self.domain)))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("Content-Language", &email.locale));
        if let Some(written) = email.create_time.as_ref().and_then(to_chrono) {
            builder = builder.date(written.into());
        }
        Ok(builder.multipart(MultiPart::alternative_plain_html(email.text.clone(), email.html.clone()))?)
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[async_trait]
impl Carrier<Email> for Smtp {
    async fn carry(&self, _: &Call, email: &Email) -> Answer {
        let message = match self.message(email) {
            Ok(message) => message,
            Err(error) => return Answer::Never(format!("{error:#}")),
        };
        match self.transport.send(message).await {
            Ok(_) => Answer::Taken,
            Err(error) => {
                let code: Option<u16> = error.status().map(Into::into);
                // 53x is about us, not about the e-mail: it waits until somebody mends the configuration.
                if error.is_permanent() && !code.is_some_and(|code| (530..540).contains(&code)) {
                    Answer::Never(error.to_string())
                } else {
                    Answer::NotNow(error.to_string())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::settings;

    fn formatted(email: &Email) -> String {
        let message = Smtp::new(Live::fixed(settings("").unwrap())).unwrap().message(email).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    fn email() -> Email {
        Email {
            id: "0193a000-0000-7000-8000-000000000007".to_owned(),
            address: "reader@example.com".to_owned(),
            subject: "Заказ принят".to_owned(),
            text: "text".to_owned(),
            html: "<p>html</p>".to_owned(),
            locale: "ru".to_owned(),
            create_time: Some(artel_proto::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            ..Email::default()
        }
    }

    #[tokio::test]
    async fn the_same_email_has_the_same_headers_each_time() {
        let head = |text: String| {
            text.split("\r\n\r\n")
                .next()
                .unwrap()
                .lines()
                .filter(|line| !line.contains("boundary"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let first = head(formatted(&email()));
        assert!(
            first.contains(&"Message-ID: <0193a000-0000-7000-8000-000000000007@artel.local>".to_owned()),
            "{first:?}"
        );
        assert!(first.contains(&"To: reader@example.com".to_owned()), "{first:?}");
        assert_eq!(first, head(formatted(&email())));
    }

    #[tokio::test]
    async fn a_header_cannot_be_smuggled_in() {
        let sly = Email { subject: "Hi\r\nBcc: all@example.com\r\n\r\nbody".to_owned(), ..email() };
        let text = formatted(&sly);
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
        let smtp = Smtp::new(Live::fixed(settings("").unwrap())).unwrap();
        let address = Email { address: "a@example.com>\r\nRCPT TO:<b@example.com".to_owned(), ..email() };
        assert!(smtp.message(&address).is_err());
    }
}
