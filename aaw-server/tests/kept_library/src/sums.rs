use aaw_event::prelude::*;

pub fn handler(start: i64, _: Services, mut upload: Upload<i64>) -> impl Stream<Item = Result<i64>> {
    try_stream! {
        let mut sum = start;
        while let Some(number) = upload.next().await {
            sum += number?;
            yield sum;
        }
    }
}
