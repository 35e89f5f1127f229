//! Commands: a queue, and the one task that sends them.

use std::time::Duration;

use freeswitch_esl_tokio::{EslClient, EslError as Wire};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Api, EslError};

/// Commands that wait for their turn; who comes later waits outside.
const QUEUE: usize = 64;
/// What a caller waits beyond the time that its command may take: for those before it.
const GRACE: Duration = Duration::from_secs(30);
/// Longest part of an answer that is told.
const REPLY: usize = 200;
/// What FreeSWITCH says where a command said nothing (contract §5.1).
const NOTHING: &str = "-ERR no reply";

/// Gives commands to one FreeSWITCH, as long as its session lasts.
#[derive(Clone, Debug)]
pub struct Client {
    queue: mpsc::Sender<Order>,
}

#[derive(Debug)]
struct Order {
    api: Api,
    answer: oneshot::Sender<Result<String, EslError>>,
}

impl Client {
    /// Starts the task that sends, over a connection of its own; `ended` is cancelled when it ends.
    pub(super) fn start(wire: EslClient, ended: DropGuard, stop: CancellationToken) -> Self {
        let (queue, orders) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            stop.run_until_cancelled(send(&wire, orders)).await;
            super::session::hang_up(&wire).await;
            drop(ended);
        });
        Self { queue }
    }

    /// What FreeSWITCH answers to a command; empty where it says nothing.
    ///
    /// # Errors
    /// It refuses the command, or the session has ended or ends with it.
    pub async fn api(&self, api: Api) -> Result<String, EslError> {
        let limit = api.limit() + GRACE;
        let command = api.to_string();
        let (answer, wait) = oneshot::channel();
        let asked = async {
            self.queue.send(Order { api, answer }).await.map_err(|_| EslError::Closed)?;
            wait.await.map_err(|_| EslError::Closed)?
        };
        tokio::time::timeout(limit, asked).await.unwrap_or(Err(EslError::TimedOut { command }))
    }
}

/// One command after the other, until the session ends. A caller that went away is no reason to
/// leave an answer unread.
async fn send(wire: &EslClient, mut orders: mpsc::Receiver<Order>) {
    while let Some(Order { api, answer }) = orders.recv().await {
        if answer.is_closed() {
            continue;
        }
        wire.set_command_timeout(api.limit());
        let command = api.to_string();
        let outcome = match wire.api(&command).await {
            Ok(response) => match response.body() {
                Some(body) => read(command, body),
                // Refused before it ran: the words are in the reply itself.
                None => {
                    Err(EslError::Failed { command, reply: cut(response.reply_text().unwrap_or_default()) })
                }
            },
            Err(Wire::Timeout { .. }) => Err(EslError::TimedOut { command }),
            Err(_) => Err(EslError::Closed),
        };
        let over = outcome.as_ref().is_err_and(EslError::ends_session);
        let _ = answer.send(outcome); // whoever asked may have gone
        if over {
            return;
        }
    }
}

fn read(command: String, body: &str) -> Result<String, EslError> {
    if body.trim_end() == NOTHING {
        return Ok(String::new());
    }
    if body.starts_with("-ERR") || body.starts_with("-USAGE") {
        return Err(EslError::Failed { command, reply: cut(body) });
    }
    Ok(body.to_owned())
}

/// The first line, as far as it is of use to somebody who reads it.
fn cut(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(REPLY).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_are_meant() {
        let read = |body| read("x".to_owned(), body);
        assert_eq!(read("-ERR no reply\n").unwrap(), "");
        assert_eq!(read("+OK\n").unwrap(), "+OK\n");
        assert!(
            matches!(read("-ERR no such gateway.\n"), Err(EslError::Failed { reply, .. }) if reply == "-ERR no such gateway.")
        );
        assert!(matches!(read("-USAGE: \nx"), Err(EslError::Failed { .. })));
    }
}
