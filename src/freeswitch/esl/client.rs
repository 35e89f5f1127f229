//! A queue of commands, and the task that sends them.

use std::time::Duration;

use freeswitch_esl_tokio::{EslClient, EslError as Wire};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Api, EslError, Notify};

/// Most queued commands; further callers wait until there is room.
const MAX_QUEUED: usize = 64;
/// How long a caller waits for queued commands, beyond the limit of its own.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long FreeSWITCH may take to accept an event.
const NOTIFY_LIMIT: Duration = Duration::from_secs(10);
/// Most characters of a reply in an error.
const MAX_REPLY_CHARS: usize = 200;
/// FreeSWITCH's reply for a command without output (contract §5.1).
const EMPTY_REPLY: &str = "-ERR no reply";

/// What is sent.
#[derive(Debug)]
enum Command {
    Api(Api),
    Notify(Notify),
}

impl Command {
    fn limit(&self) -> Duration {
        match self {
            Self::Api(api) => api.limit(),
            Self::Notify(_) => NOTIFY_LIMIT,
        }
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Api(api) => api.fmt(f),
            Self::Notify(notify) => notify.fmt(f),
        }
    }
}

/// Sends commands to one FreeSWITCH while its session lasts.
#[derive(Clone, Debug)]
pub struct Client {
    queue: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    command: Command,
    answer: oneshot::Sender<Result<String, EslError>>,
}

impl Client {
    /// Starts the task that sends commands over `wire`. `ended` is cancelled when the task ends.
    pub(super) fn start(wire: EslClient, ended: DropGuard, stop: CancellationToken) -> Self {
        let (queue, requests) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(async move {
            stop.run_until_cancelled(send_all(&wire, requests)).await;
            super::session::hang_up(&wire).await;
            drop(ended);
        });
        Self { queue }
    }

    /// Runs a command. Returns FreeSWITCH's reply, which is empty for a command without output.
    ///
    /// # Errors
    /// FreeSWITCH refuses the command, or the session has ended or fails.
    pub async fn api(&self, api: Api) -> Result<String, EslError> {
        self.send(Command::Api(api)).await
    }

    /// Makes FreeSWITCH send a NOTIFY. No reply says whether the phone got it.
    ///
    /// # Errors
    /// FreeSWITCH refuses the event, or the session has ended or fails.
    pub async fn notify(&self, notify: Notify) -> Result<(), EslError> {
        self.send(Command::Notify(notify)).await.map(drop)
    }

    async fn send(&self, command: Command) -> Result<String, EslError> {
        let limit = command.limit() + QUEUE_TIMEOUT;
        let text = command.to_string();
        let (answer, wait) = oneshot::channel();
        let asked = async {
            self.queue.send(Request { command, answer }).await.map_err(|_| EslError::Closed)?;
            wait.await.map_err(|_| EslError::Closed)?
        };
        tokio::time::timeout(limit, asked).await.unwrap_or(Err(EslError::TimedOut { command: text }))
    }
}

/// Sends one command after the other until the session ends. A reply is read even if its caller was
/// cancelled meanwhile.
async fn send_all(wire: &EslClient, mut requests: mpsc::Receiver<Request>) {
    while let Some(Request { command, answer }) = requests.recv().await {
        if answer.is_closed() {
            continue;
        }
        wire.set_command_timeout(command.limit());
        let text = command.to_string();
        let sent = match &command {
            Command::Api(_) => wire.api(&text).await,
            Command::Notify(notify) => wire.sendevent(notify.event()).await,
        };
        let outcome = match sent {
            Ok(response) => match (response.body(), &command) {
                (Some(body), _) => parse_reply(text, body),
                (None, Command::Notify(_)) if response.is_success() => Ok(String::new()),
                // Refused before it ran: the reason is in the reply's header.
                (None, _) => Err(EslError::Failed {
                    command: text,
                    reply: first_line(response.reply_text().unwrap_or_default()),
                }),
            },
            Err(Wire::Timeout { .. }) => Err(EslError::TimedOut { command: text }),
            Err(_) => Err(EslError::Closed),
        };
        let session_ends = outcome.as_ref().is_err_and(EslError::ends_session);
        let _ = answer.send(outcome); // the caller may have been cancelled
        if session_ends {
            return;
        }
    }
}

fn parse_reply(command: String, body: &str) -> Result<String, EslError> {
    if body.trim_end() == EMPTY_REPLY {
        return Ok(String::new());
    }
    if body.starts_with("-ERR") || body.starts_with("-USAGE") {
        return Err(EslError::Failed { command, reply: first_line(body) });
    }
    Ok(body.to_owned())
}

/// The first line of a reply, shortened, for an error.
fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_REPLY_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_classified_as_success_or_error() {
        let read = |body| parse_reply("x".to_owned(), body);
        assert_eq!(read("-ERR no reply\n").unwrap(), "");
        assert_eq!(read("+OK\n").unwrap(), "+OK\n");
        assert!(
            matches!(read("-ERR no such gateway.\n"), Err(EslError::Failed { reply, .. }) if reply == "-ERR no such gateway.")
        );
        assert!(matches!(read("-USAGE: \nx"), Err(EslError::Failed { .. })));
    }
}
