//! Yields all users. The same function serves every way of reading, and holds only a few rows in memory.

use aaw_event::prelude::*;

use crate::_services::{User, Users};

#[derive(Deserialize)]
#[serde(default)]
pub struct Body {
    /// The id to start at.
    from: i64,
    /// Every thousandth row cannot be read, to show an error in the middle of a stream.
    is_damaged: bool,
}

impl Default for Body {
    fn default() -> Self {
        Self { from: 1, is_damaged: false }
    }
}

pub fn handler(body: Body, services: Services<Users>) -> impl Stream<Item = Result<User>> {
    try_stream! {
        let mut rows = services.from(body.from, body.is_damaged)?;
        while let Some(row) = rows.recv().await {
            yield row?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// Returns a table in a temporary folder, which is deleted after the test.
    fn users(rows: i64) -> (Services<Users>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::open(folder.path().join("users.db"), rows).unwrap();
        (Services::for_test(users).clone(), folder)
    }

    #[tokio::test]
    async fn all_rows_are_yielded_in_order() {
        let (services, _folder) = users(5000);
        let all: Vec<_> = handler(Body::default(), services.clone()).map(Result::unwrap).collect().await;
        assert_eq!(all.iter().map(|user| user.id).collect::<Vec<_>>(), (1..=5000).collect::<Vec<_>>());
        let expected = User { id: 5, name: "Grace Lovelace".into(), email: "grace5@example.org".into() };
        assert_eq!(all[4], expected);

        let last: Vec<_> = handler(Body { from: 4999, is_damaged: false }, services).collect().await;
        assert_eq!(last.len(), 2);
    }

    #[tokio::test]
    async fn dropping_the_stream_closes_the_cursor() {
        let (services, _folder) = users(5000);
        {
            let mut stream = pin!(handler(Body::default(), services.clone()));
            assert_eq!(stream.next().await.unwrap().unwrap().id, 1);
            assert_eq!(services.open_cursors(), 1);
        }
        services.wait_until_idle().await;
        assert_eq!(services.open_cursors(), 0);
    }

    #[tokio::test]
    async fn an_error_follows_the_rows_before_it() {
        let (services, _folder) = users(5000);
        let mut stream = pin!(handler(Body { from: 990, is_damaged: true }, services));
        for id in 990..1000 {
            assert_eq!(stream.next().await.unwrap().unwrap().id, id);
        }
        assert_eq!(stream.next().await.unwrap().unwrap_err().message(), "Row 1000 cannot be read");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn the_number_of_cursors_is_limited() {
        let (services, _folder) = users(5000);
        let mut open = Vec::new();
        let error = loop {
            let mut stream = Box::pin(handler(Body::default(), services.clone()));
            match stream.next().await.unwrap() {
                Ok(_) => open.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!((open.len(), error.code()), (64, "busy"));
    }

    #[test]
    fn an_existing_table_is_not_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users.db");
        Users::open(file.clone(), 10).unwrap();
        let before = std::fs::read(&file).unwrap();
        Users::open(file.clone(), 20).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }
}
