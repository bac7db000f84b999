//! The chat history, in an SQLite database.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aaw_event::prelude::*;
use rusqlite::Connection;

/// A room of the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Room {
    Tea,
    Books,
    Games,
}

impl Room {
    /// All rooms.
    pub const ALL: [Self; 3] = [Self::Tea, Self::Books, Self::Games];

    /// Returns the name of the room in aaw.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tea => "tea",
            Self::Books => "books",
            Self::Games => "games",
        }
    }
}

/// The number of messages that a client receives when it enters a room.
const SHOWN: u32 = 50;

/// The number of messages stored for each room; older ones are deleted.
const STORED: u32 = 1000;

/// The maximum length of a message, in characters.
const MAX_CHARS: usize = 500;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Increases with each message.
    pub id: i64,
    /// The e-mail address of the author, which is unique.
    pub by: String,
    pub text: String,
    /// The time, in milliseconds since the Unix epoch.
    pub at: i64,
}

/// What handlers receive as `services`.
pub struct Chat {
    lines: Arc<Mutex<Connection>>,
}

/// Returns the folder of the databases: `CHAT_DATA`, or else the folder of the program, below cargo's target folder.
///
/// # Errors
/// If `CHAT_DATA` is not set and the path of the program is unknown.
pub fn data() -> std::io::Result<PathBuf> {
    match std::env::var_os("CHAT_DATA") {
        Some(folder) => Ok(folder.into()),
        None => Ok(std::env::current_exe()?.with_file_name("")),
    }
}

pub async fn services() -> Result<Chat> {
    let file = data()?.join("aaw-example-chat-lines.sqlite");
    // SQLite blocks on the disk, which a thread of the async runtime must not do.
    tokio::task::spawn_blocking(move || Chat::open(&file)).await?
}

impl Chat {
    /// Opens the database in `file`, and creates it if it is missing.
    pub fn open(file: &Path) -> Result<Self> {
        Self::with_connection(Connection::open(file)?)
    }

    fn with_connection(lines: Connection) -> Result<Self> {
        lines.execute_batch(
            "CREATE TABLE IF NOT EXISTS lines
                (id INTEGER PRIMARY KEY AUTOINCREMENT, room TEXT NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL,
                at INTEGER NOT NULL) STRICT;
            CREATE INDEX IF NOT EXISTS lines_by_room ON lines (room, id)",
        )?;
        Ok(Self { lines: Arc::new(Mutex::new(lines)) })
    }

    /// Returns the last messages of a room, oldest first.
    pub async fn last(&self, room: Room) -> Result<Vec<ChatMessage>> {
        self.with_database(move |lines| {
            let mut last = lines
                .prepare_cached("SELECT id, author, text, at FROM lines WHERE room = ? ORDER BY id DESC LIMIT ?")?;
            let last = last.query_map((room.name(), SHOWN), |row| {
                Ok(ChatMessage { id: row.get(0)?, by: row.get(1)?, text: row.get(2)?, at: row.get(3)? })
            })?;
            let mut last = last.collect::<rusqlite::Result<Vec<_>>>()?;
            last.reverse();
            Ok(last)
        })
        .await
    }

    /// Stores a message, and then calls `publish` with it. The database is locked meanwhile, so that messages are
    /// published in the order of their ids.
    pub async fn add(
        &self,
        room: Room,
        by: String,
        text: &str,
        publish: impl FnOnce(&ChatMessage) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let text = text.trim().to_owned();
        if text.is_empty() || text.chars().count() > MAX_CHARS {
            return Err(Error::new(format!("A message has 1 to {MAX_CHARS} characters")));
        }
        self.with_database(move |lines| {
            let at = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
            let change = lines.unchecked_transaction()?;
            let id = change
                .prepare_cached("INSERT INTO lines (room, author, text, at) VALUES (?, ?, ?, ?)")?
                .insert((room.name(), &by, &text, at))?;
            change
                .prepare_cached(
                    "DELETE FROM lines WHERE room = ?1 AND id <=
                        (SELECT id FROM lines WHERE room = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                )?
                .execute((room.name(), STORED))?;
            change.commit()?;
            publish(&ChatMessage { id, by, text, at })
        })
        .await
    }

    async fn with_database<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let lines = Arc::clone(&self.lines);
        tokio::task::spawn_blocking(move || run(&lines.lock().unwrap_or_else(PoisonError::into_inner))).await?
    }

    /// Returns services with an in-memory database, called by a logged-in client.
    #[cfg(test)]
    pub fn for_test() -> aaw_event::testing::TestServices<Self> {
        let chat = Self::with_connection(Connection::open_in_memory().unwrap()).unwrap();
        Services::for_test(chat).with_identity(Identity::new("1", "ada@example.org"))
    }
}

/// Returns the e-mail address of the caller. Events below `auth/` always have one.
pub fn caller(services: &Services<Chat>) -> Result<String> {
    let identity = services.identity().ok_or_else(|| Error::new("Not authenticated").with_code("not_authenticated"))?;
    Ok(identity.email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_50_messages_are_returned_and_the_last_1000_are_stored() {
        let chat = Chat::for_test();
        for n in 1..=1005 {
            chat.add(Room::Tea, "ada".into(), &format!("message {n}"), |_| Ok(())).await.unwrap();
        }
        chat.add(Room::Books, "bob".into(), " elsewhere ", |_| Ok(())).await.unwrap();
        let last = chat.last(Room::Tea).await.unwrap();
        assert_eq!((last.len(), last[0].text.as_str(), last[49].text.as_str()), (50, "message 956", "message 1005"));
        assert!(last.is_sorted_by_key(|message| message.id));
        let count = "SELECT count(*) FROM lines";
        let stored = |lines: &Connection| Ok(lines.query_row(count, (), |row| row.get::<_, i64>(0))?);
        assert_eq!(chat.with_database(stored).await.unwrap(), 1001);
        assert_eq!(chat.last(Room::Books).await.unwrap()[0].text, "elsewhere");
    }

    #[tokio::test]
    async fn an_invalid_message_is_neither_stored_nor_published() {
        let chat = Chat::for_test();
        for text in ["", " \n", &"é".repeat(501)] {
            let added = chat.add(Room::Tea, "ada".into(), text, |_| panic!("published")).await;
            assert_eq!(added.unwrap_err().message(), "A message has 1 to 500 characters");
        }
        assert!(chat.last(Room::Tea).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn messages_survive_a_restart() {
        let file = std::env::temp_dir().join(format!("aaw-chat-{}.sqlite", std::process::id()));
        let added = Chat::open(&file).unwrap().add(Room::Tea, "ada".into(), "Hello", |_| Ok(())).await;
        let last = Chat::open(&file).unwrap().last(Room::Tea).await;
        std::fs::remove_file(&file).unwrap();
        added.unwrap();
        assert_eq!(last.unwrap()[0].text, "Hello");
    }

    #[test]
    fn a_room_has_the_same_name_in_json_and_in_aaw() {
        for room in Room::ALL {
            assert_eq!(serde_json::to_value(room).unwrap(), room.name());
        }
        assert!(serde_json::from_str::<Room>("\"coffee\"").is_err());
    }
}
