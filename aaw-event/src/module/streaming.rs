//! Streaming handlers: `fn handler(…) -> impl Stream`, or an `async fn` that awaits something before it returns its
//! stream.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use aaw_protocol::Failure;
use futures_util::Stream;
use pin_project_lite::pin_project;

use super::arguments::{FromBody, FromUploadItem, Invoke, ServicesArgument, UploadArgument, event_name, invoke};
use super::begin::BeginCall;
use super::call::{CallProgress, PollCall};
use super::instance::PackageInstance;
use super::output::{CallOutput, NextItem};
use super::package::HandlerEntry;
use super::response::{IntoItem, IntoStreamResponse, StreamResponse, log_and_convert};
use crate::abi::{CallArgs, step};

/// One function per form and number of arguments of a streaming handler.
impl<A: Send + Sync + 'static> HandlerEntry<A> {
    /// A `fn handler()`.
    pub const fn streaming0<H, Y, R>(name: &'static str, _: H) -> Self
    where
        H: Fn() -> Y + Copy + Send + Sync + 'static,
        Y: StreamResponse + Send + 'static,
        Y::Item: IntoItem<R>,
        R: 'static,
    {
        Self::streamed::<H, Streaming<H, (), R>>(name)
    }

    /// A `fn handler(body)`.
    pub const fn streaming1<H, B, Y, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B) -> Y + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        Y: StreamResponse + Send + 'static,
        Y::Item: IntoItem<R>,
        R: 'static,
    {
        Self::streamed::<H, Streaming<H, (B,), R>>(name)
    }

    /// A `fn handler(body, services)`.
    pub const fn streaming2<H, B, S, M, Y, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S) -> Y + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        S: ServicesArgument<A, M> + 'static,
        M: 'static,
        Y: StreamResponse + Send + 'static,
        Y::Item: IntoItem<R>,
        R: 'static,
    {
        Self::streamed::<H, Streaming<H, (B, S, M), R>>(name)
    }

    /// A `fn handler(body, services, upload)`.
    pub const fn streaming3<H, B, S, M, U, Y, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S, U) -> Y + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        S: ServicesArgument<A, M> + 'static,
        M: 'static,
        U: UploadArgument + 'static,
        U::Item: FromUploadItem,
        Y: StreamResponse + Send + 'static,
        Y::Item: IntoItem<R>,
        R: 'static,
    {
        Self::streamed::<H, Streaming<H, (B, S, M, U), R>>(name).taking_upload()
    }

    /// An `async fn handler()`.
    pub const fn async_streaming0<H, F, P, R>(name: &'static str, _: H) -> Self
    where
        H: Fn() -> F + Copy + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: IntoStreamResponse<P>,
        <F::Output as IntoStreamResponse<P>>::Stream: Send + 'static,
        <<F::Output as IntoStreamResponse<P>>::Stream as Stream>::Item: IntoItem<R>,
        P: 'static,
        R: 'static,
    {
        Self::streamed::<H, AsyncStreaming<H, (), P, R>>(name)
    }

    /// An `async fn handler(body)`.
    pub const fn async_streaming1<H, B, F, P, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B) -> F + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        F: Future + Send + 'static,
        F::Output: IntoStreamResponse<P>,
        <F::Output as IntoStreamResponse<P>>::Stream: Send + 'static,
        <<F::Output as IntoStreamResponse<P>>::Stream as Stream>::Item: IntoItem<R>,
        P: 'static,
        R: 'static,
    {
        Self::streamed::<H, AsyncStreaming<H, (B,), P, R>>(name)
    }

    /// An `async fn handler(body, services)`.
    pub const fn async_streaming2<H, B, S, M, F, P, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S) -> F + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        S: ServicesArgument<A, M> + 'static,
        M: 'static,
        F: Future + Send + 'static,
        F::Output: IntoStreamResponse<P>,
        <F::Output as IntoStreamResponse<P>>::Stream: Send + 'static,
        <<F::Output as IntoStreamResponse<P>>::Stream as Stream>::Item: IntoItem<R>,
        P: 'static,
        R: 'static,
    {
        Self::streamed::<H, AsyncStreaming<H, (B, S, M), P, R>>(name)
    }

    /// An `async fn handler(body, services, upload)`.
    pub const fn async_streaming3<H, B, S, M, U, F, P, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S, U) -> F + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        S: ServicesArgument<A, M> + 'static,
        M: 'static,
        U: UploadArgument + 'static,
        U::Item: FromUploadItem,
        F: Future + Send + 'static,
        F::Output: IntoStreamResponse<P>,
        <F::Output as IntoStreamResponse<P>>::Stream: Send + 'static,
        <<F::Output as IntoStreamResponse<P>>::Stream as Stream>::Item: IntoItem<R>,
        P: 'static,
        R: 'static,
    {
        Self::streamed::<H, AsyncStreaming<H, (B, S, M, U), P, R>>(name).taking_upload()
    }
}

/// The call of a streaming event whose handler is a `fn`.
struct Streaming<H, Args, R>(PhantomData<(H, Args, R)>);

impl<A, H, Args, R> BeginCall<A> for Streaming<H, Args, R>
where
    H: Invoke<A, Args>,
    H::Output: Stream + Send + 'static,
    <H::Output as Stream>::Item: IntoItem<R>,
    R: 'static,
{
    type Call = StreamCall<H::Output, R>;

    fn begin(instance: &PackageInstance<A>, args: &CallArgs) -> Result<Self::Call, Failure> {
        let stream = invoke::<A, H, Args>(instance, args)?;
        Ok(StreamCall { stream, event: event_name(args), marker: PhantomData })
    }
}

/// The call of a streaming event whose handler is an `async fn`.
struct AsyncStreaming<H, Args, P, R>(PhantomData<(H, Args, P, R)>);

impl<A, H, Args, P, R> BeginCall<A> for AsyncStreaming<H, Args, P, R>
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: IntoStreamResponse<P>,
    <<H::Output as Future>::Output as IntoStreamResponse<P>>::Stream: Send + 'static,
    <<<H::Output as Future>::Output as IntoStreamResponse<P>>::Stream as Stream>::Item: IntoItem<R>,
    P: 'static,
    R: 'static,
{
    type Call = AsyncStreamCall<H::Output, <<H::Output as Future>::Output as IntoStreamResponse<P>>::Stream, P, R>;

    fn begin(instance: &PackageInstance<A>, args: &CallArgs) -> Result<Self::Call, Failure> {
        let future = invoke::<A, H, Args>(instance, args)?;
        Ok(AsyncStreamCall::Opening { future, event: event_name(args), marker: PhantomData })
    }
}

pin_project! {
    /// A handler's stream.
    struct StreamCall<Y, R> {
        #[pin]
        stream: Y,
        event: &'static str,
        marker: PhantomData<fn(R)>,
    }
}

impl<Y, R> PollCall for StreamCall<Y, R>
where
    Y: Stream + Send + 'static,
    Y::Item: IntoItem<R>,
    R: 'static,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut CallOutput) -> CallProgress {
        let mut this = self.project();
        loop {
            match this.stream.as_mut().poll_next(cx) {
                Poll::Pending => return CallProgress::Pending,
                Poll::Ready(None) => return CallProgress::Ended(step::END),
                Poll::Ready(Some(item)) => match item.write_to(out) {
                    Ok(NextItem::Wanted) => {}
                    Ok(NextItem::NotWanted) => return CallProgress::Item,
                    Err(error) => return CallProgress::Ended(out.fail(&log_and_convert(this.event, error))),
                },
            }
        }
    }
}

pin_project! {
    /// A handler that awaits its stream. The stream replaces the handler's future in the same box.
    #[project = AsyncStreamCallProjection]
    enum AsyncStreamCall<F, Y, P, R> {
        Opening {
            #[pin]
            future: F,
            event: &'static str,
            marker: PhantomData<fn(P)>,
        },
        Open {
            #[pin]
            stream: StreamCall<Y, R>,
        },
    }
}

impl<F, Y, P, R> PollCall for AsyncStreamCall<F, Y, P, R>
where
    F: Future + Send + 'static,
    F::Output: IntoStreamResponse<P, Stream = Y>,
    Y: Stream + Send + 'static,
    Y::Item: IntoItem<R>,
    P: 'static,
    R: 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut CallOutput) -> CallProgress {
        let (opened, event) = match self.as_mut().project() {
            AsyncStreamCallProjection::Open { stream } => return stream.poll(cx, out),
            AsyncStreamCallProjection::Opening { future, event, .. } => match future.poll(cx) {
                Poll::Pending => return CallProgress::Pending,
                Poll::Ready(output) => (output.into_stream_response(), *event),
            },
        };
        match opened {
            Ok(stream) => self.set(Self::Open { stream: StreamCall { stream, event, marker: PhantomData } }),
            Err(error) => return CallProgress::Ended(out.fail(&log_and_convert(event, error))),
        }
        self.poll(cx, out)
    }
}
