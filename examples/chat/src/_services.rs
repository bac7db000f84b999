//! What was said: a table of SQLite's.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aaw_event::prelude::*;
use rusqlite::Connection;

/// The rooms that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Room {
    Tea,
    Books,
    Games,
}

impl Room {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tea, Self::Books, Self::Games];

    /// As the server knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tea => "tea",
            Self::Books => "books",
            Self::Games => "games",
        }
    }
}

/// Lines that somebody who comes is shown.
const SHOWN: u32 = 50;

/// Lines that are kept of a room.
const KEPT: u32 = 1000;

/// Characters of a line.
const LONGEST: usize = 500;

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Later lines have higher ones.
    pub id: i64,
    /// Who said it: their address, which nobody else has.
    pub by: String,
    pub text: String,
    /// In ms since 1970.
    pub at: i64,
}

/// What the handlers see as `services`.
pub struct Chat {
    lines: Arc<Mutex<Connection>>,
}

/// The folder for what is kept: `CHAT_DATA`, or else where the program is, below cargo's target folder.
///
/// # Errors
/// When the system does not say where the program is.
pub fn data() -> std::io::Result<PathBuf> {
    match std::env::var_os("CHAT_DATA") {
        Some(folder) => Ok(folder.into()),
        None => Ok(std::env::current_exe()?.with_file_name("")),
    }
}

pub async fn services() -> Result<Chat> {
    let file = data()?.join("aaw-example-chat-lines.sqlite");
    // SQLite waits for the disk, and a runtime's thread must not.
    tokio::task::spawn_blocking(move || Chat::open(&file)).await?
}

impl Chat {
    /// What was said is in this file, which is made if it is missing.
    pub fn open(file: &Path) -> Result<Self> {
        Self::over(Connection::open(file)?)
    }

    fn over(lines: Connection) -> Result<Self> {
        lines.execute_batch(
            "CREATE TABLE IF NOT EXISTS lines
                (id INTEGER PRIMARY KEY AUTOINCREMENT, room TEXT NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL,
                at INTEGER NOT NULL) STRICT;
            CREATE INDEX IF NOT EXISTS lines_by_room ON lines (room, id)",
        )?;
        Ok(Self { lines: Arc::new(Mutex::new(lines)) })
    }

    /// The last lines of a room, oldest first.
    pub async fn last(&self, room: Room) -> Result<Vec<Line>> {
        self.with(move |lines| {
            let mut last = lines
                .prepare_cached("SELECT id, author, text, at FROM lines WHERE room = ? ORDER BY id DESC LIMIT ?")?;
            let last = last.query_map((room.name(), SHOWN), |row| {
                Ok(Line { id: row.get(0)?, by: row.get(1)?, text: row.get(2)?, at: row.get(3)? })
            })?;
            let mut last = last.collect::<rusqlite::Result<Vec<_>>>()?;
            last.reverse();
            Ok(last)
        })
        .await
    }

    /// Keeps a line, and then has it told. One after the other: lines are told in the order of their ids.
    pub async fn add(
        &self,
        room: Room,
        by: String,
        text: &str,
        tell: impl FnOnce(&Line) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let text = text.trim().to_owned();
        if text.is_empty() || text.chars().count() > LONGEST {
            return Err(Error::new(format!("A line has 1 to {LONGEST} characters")));
        }
        self.with(move |lines| {
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
                .execute((room.name(), KEPT))?;
            change.commit()?;
            tell(&Line { id, by, text, at })
        })
        .await
    }

    async fn with<T: Send + 'static>(&self, act: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let lines = Arc::clone(&self.lines);
        tokio::task::spawn_blocking(move || act(&lines.lock().unwrap_or_else(PoisonError::into_inner))).await?
    }

    /// A chat that is gone after the test.
    #[cfg(test)]
    pub fn for_test() -> Services<Self> {
        let chat = Self::over(Connection::open_in_memory().unwrap()).unwrap();
        Services::for_test(chat).with_identity(Identity::new("1", "ada@example.org"))
    }
}

/// Who calls. Below `auth/` there is always somebody.
pub fn caller(services: &Services<Chat>) -> Result<String> {
    let identity = services.identity().ok_or_else(|| Error::new("Not authenticated").with_code("not_authenticated"))?;
    Ok(identity.email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_50_lines_are_shown_and_the_last_1000_kept() {
        let chat = Chat::for_test();
        for n in 1..=1005 {
            chat.add(Room::Tea, "ada".into(), &format!("line {n}"), |_| Ok(())).await.unwrap();
        }
        chat.add(Room::Books, "bob".into(), " elsewhere ", |_| Ok(())).await.unwrap();
        let last = chat.last(Room::Tea).await.unwrap();
        assert_eq!((last.len(), last[0].text.as_str(), last[49].text.as_str()), (50, "line 956", "line 1005"));
        assert!(last.is_sorted_by_key(|line| line.id));
        let count = "SELECT count(*) FROM lines";
        let kept = |lines: &Connection| Ok(lines.query_row(count, (), |row| row.get::<_, i64>(0))?);
        assert_eq!(chat.with(kept).await.unwrap(), 1001);
        assert_eq!(chat.last(Room::Books).await.unwrap()[0].text, "elsewhere");
    }

    #[tokio::test]
    async fn what_is_no_line_is_neither_kept_nor_told() {
        let chat = Chat::for_test();
        for text in ["", " \n", &"é".repeat(501)] {
            let told = chat.add(Room::Tea, "ada".into(), text, |_| panic!("told")).await;
            assert_eq!(told.unwrap_err().message(), "A line has 1 to 500 characters");
        }
        assert!(chat.last(Room::Tea).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_was_said_outlives_the_program() {
        let file = std::env::temp_dir().join(format!("aaw-chat-{}.sqlite", std::process::id()));
        let told = Chat::open(&file).unwrap().add(Room::Tea, "ada".into(), "Hello", |_| Ok(())).await;
        let last = Chat::open(&file).unwrap().last(Room::Tea).await;
        std::fs::remove_file(&file).unwrap();
        told.unwrap();
        assert_eq!(last.unwrap()[0].text, "Hello");
    }

    #[test]
    fn a_room_has_one_name() {
        for room in Room::ALL {
            assert_eq!(serde_json::to_value(room).unwrap(), room.name());
        }
        assert!(serde_json::from_str::<Room>("\"coffee\"").is_err());
    }
}
