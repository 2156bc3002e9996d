//! Questions of concurrent callers, answered together.
//!
//! While one statement is under way, further questions of the same sort gather; the next statement
//! takes them all. A lone caller waits for nobody. Each question is taken by a statement that begins
//! after it was asked, so everybody sees what was committed before they asked.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use tokio::sync::{Mutex, mpsc, oneshot};

use super::{Deadline, Query, Store, engine, late};
use crate::kernel::fault::Fault;

/// How many statements of one sort are under way at most.
const LANES: usize = 4;
/// How many questions one statement takes at most.
const LONGEST: usize = 64;
/// How much longer than its own limit a statement is waited for.
const GRACE: Duration = Duration::from_secs(2);
/// How many questions may wait.
const QUEUE: usize = 4096;

/// A kind of query of which one SQL statement answers many.
pub trait BatchQuery: Send + Sync + 'static {
    /// One question. Equal ones are put once.
    type Question: Clone + Eq + Hash + Send + Sync + 'static;
    /// Result of one query.
    type Answer: Clone + Send + Sync + 'static;
    /// The statement for many questions; gives the answers in the order of the questions.
    type Statement: Query<Output = Vec<Self::Answer>>;

    /// The statement that answers these.
    fn statement(&self, questions: Arc<[Self::Question]>) -> Self::Statement;
}

type Asked<T> = (<T as BatchQuery>::Question, oneshot::Sender<Reply<T>>);
type Reply<T> = Result<<T as BatchQuery>::Answer, Fault>;

/// Collects queries of one kind from concurrent callers and answers up to 64 with one statement.
pub struct Batcher<T: BatchQuery>(mpsc::Sender<Asked<T>>);

impl<T: BatchQuery> Clone for Batcher<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: BatchQuery> std::fmt::Debug for Batcher<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Batch")
    }
}

impl<T: BatchQuery> Batcher<T> {
    /// Begins to answer. Must be called on a runtime; ends when the last clone is dropped.
    pub fn new(store: &Store, sort: T) -> Self {
        let (send, receive) = mpsc::channel(QUEUE);
        let (receive, sort) = (Arc::new(Mutex::new(receive)), Arc::new(sort));
        for _ in 0..LANES {
            let (store, receive, sort) = (store.clone(), Arc::clone(&receive), Arc::clone(&sort));
            tokio::spawn(async move {
                while let Some(asked) = gather::<T>(&receive).await {
                    answer(&store, &*sort, asked).await;
                }
            });
        }
        Self(send)
    }

    /// Asks. Faults: those of the statement; `OVERLOADED` when too many wait; `DEADLINE_EXCEEDED`.
    pub async fn ask(&self, deadline: Deadline, question: T::Question) -> Reply<T> {
        let (send, receive) = oneshot::channel();
        if self.0.try_send((question, send)).is_err() {
            return Err(Fault::overloaded(Duration::from_millis(100)));
        }
        match tokio::time::timeout_at(deadline.0, receive).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(Fault::internal("a question was dropped without an answer")),
            Err(_) => Err(late()),
        }
    }
}

/// Waits for a question, and takes all that wait with it. Nothing when nobody can ask any more.
async fn gather<T: BatchQuery>(receive: &Mutex<mpsc::Receiver<Asked<T>>>) -> Option<Vec<Asked<T>>> {
    let mut receive = receive.lock().await;
    let mut asked = vec![receive.recv().await?];
    while asked.len() < LONGEST {
        match receive.try_recv() {
            Ok(next) => asked.push(next),
            Err(_) => break,
        }
    }
    Some(asked)
}

async fn answer<T: BatchQuery>(store: &Store, sort: &T, asked: Vec<Asked<T>>) {
    let mut questions: Vec<T::Question> = Vec::with_capacity(asked.len());
    let mut places: HashMap<T::Question, usize> = HashMap::with_capacity(asked.len());
    let mut waiting = Vec::with_capacity(asked.len());
    for (question, reply) in asked {
        // Those who left need no answer.
        if reply.is_closed() {
            continue;
        }
        let place = *places.entry(question).or_insert_with_key(|question| {
            questions.push(question.clone());
            questions.len() - 1
        });
        waiting.push((place, reply));
    }
    if questions.is_empty() {
        return;
    }
    let count = questions.len();
    let statement = sort.statement(questions.into());
    // The callers' deadlines differ; the connection's own limit bounds the statement.
    let asking = store.read_batched(statement);
    let result = match tokio::time::timeout(store.statement_timeout() + GRACE, asking).await {
        Ok(Ok(answers)) if answers.len() == count => Ok(answers),
        Ok(Ok(answers)) => {
            Err(Fault::internal(format!("{} answers to {count} questions", answers.len())))
        }
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(engine::away().log("the database does not answer")),
    };
    for (place, reply) in waiting {
        let answer = match &result {
            Ok(answers) => answers.get(place).cloned().ok_or_else(|| Fault::internal("no answer")),
            Err(fault) => Err(fault.clone()),
        };
        // Whoever left in the meantime does not mind.
        drop(reply.send(answer));
    }
}
