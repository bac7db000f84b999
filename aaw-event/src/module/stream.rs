//! Handlers that yield: `fn handler(…) -> impl Stream`, or `async fn` where there is something to await before.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use pin_project_lite::pin_project;

use super::arguments::{FitsBody, FitsItem, Invoke, Takes, TakesUpload, invoke};
use super::call::{self, Ended, Out, Progress, Work};
use super::instance::Instance;
use super::package::Entry;
use super::unary::{Item, Opens, Yields, log_and_convert};
use crate::abi::{CallArgs, RawCall, kind, step};
use crate::contain::contained;

/// One function for each way to write a handler of a stream.
impl<A: Send + Sync + 'static> Entry<A> {
    /// A `fn handler()`.
    pub const fn stream0<H, Y, R>(name: &'static str, _: H) -> Self
    where
        H: Fn() -> Y + Copy + Send + Sync + 'static,
        Y: Yields + Send + 'static,
        Y::Item: Item<R>,
        R: 'static,
    {
        Self::new::<H>(name, kind::STREAM, stream::<A, H, (), R>)
    }

    /// A `fn handler(body)`.
    pub const fn stream1<H, B, Y, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B) -> Y + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        Y: Yields + Send + 'static,
        Y::Item: Item<R>,
        R: 'static,
    {
        Self::new::<H>(name, kind::STREAM, stream::<A, H, (B,), R>)
    }

    /// A `fn handler(body, services)`.
    pub const fn stream2<H, B, S, M, Y, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S) -> Y + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        S: Takes<A, M> + 'static,
        M: 'static,
        Y: Yields + Send + 'static,
        Y::Item: Item<R>,
        R: 'static,
    {
        Self::new::<H>(name, kind::STREAM, stream::<A, H, (B, S, M), R>)
    }

    /// A `fn handler(body, services, incoming)`.
    pub const fn stream3<H, B, S, M, I, Y, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S, I) -> Y + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        S: Takes<A, M> + 'static,
        M: 'static,
        I: TakesUpload + 'static,
        I::Item: FitsItem,
        Y: Yields + Send + 'static,
        Y::Item: Item<R>,
        R: 'static,
    {
        Self::new::<H>(name, kind::STREAM, stream::<A, H, (B, S, M, I), R>).taking_incoming()
    }

    /// An `async fn handler()`.
    pub const fn async_stream0<H, F, P, R>(name: &'static str, _: H) -> Self
    where
        H: Fn() -> F + Copy + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Opens<P>,
        <F::Output as Opens<P>>::Stream: Send + 'static,
        <<F::Output as Opens<P>>::Stream as Stream>::Item: Item<R>,
        P: 'static,
        R: 'static,
    {
        Self::new::<H>(name, kind::STREAM, async_stream::<A, H, (), P, R>)
    }

    /// An `async fn handler(body)`.
    pub const fn async_stream1<H, B, F, P, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B) -> F + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        F: Future + Send + 'static,
        F::Output: Opens<P>,
        <F::Output as Opens<P>>::Stream: Send + 'static,
        <<F::Output as Opens<P>>::Stream as Stream>::Item: Item<R>,
        P: 'static,
        R: 'static,
    {
        Self::new::<H>(name, kind::STREAM, async_stream::<A, H, (B,), P, R>)
    }

    /// An `async fn handler(body, services)`.
    pub const fn async_stream2<H, B, S, M, F, P, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S) -> F + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        S: Takes<A, M> + 'static,
        M: 'static,
        F: Future + Send + 'static,
        F::Output: Opens<P>,
        <F::Output as Opens<P>>::Stream: Send + 'static,
        <<F::Output as Opens<P>>::Stream as Stream>::Item: Item<R>,
        P: 'static,
        R: 'static,
    {
        Self::new::<H>(name, kind::STREAM, async_stream::<A, H, (B, S, M), P, R>)
    }

    /// An `async fn handler(body, services, incoming)`.
    pub const fn async_stream3<H, B, S, M, I, F, P, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S, I) -> F + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        S: Takes<A, M> + 'static,
        M: 'static,
        I: TakesUpload + 'static,
        I::Item: FitsItem,
        F: Future + Send + 'static,
        F::Output: Opens<P>,
        <F::Output as Opens<P>>::Stream: Send + 'static,
        <<F::Output as Opens<P>>::Stream as Stream>::Item: Item<R>,
        P: 'static,
        R: 'static,
    {
        Self::new::<H>(name, kind::STREAM, async_stream::<A, H, (B, S, M, I), P, R>).taking_incoming()
    }
}

/// [`CallFn`](crate::abi::CallFn) of an event that yields.
unsafe extern "C" fn stream<A, H, Args, R>(instance: *const c_void, args: *const CallArgs) -> RawCall
where
    H: Invoke<A, Args>,
    H::Output: Stream + Send + 'static,
    <H::Output as Stream>::Item: Item<R>,
    R: 'static,
{
    // SAFETY: the host calls with a running instance of this package, and arguments that outlive this call.
    let (instance, args) = unsafe { (&*instance.cast::<Instance<A>>(), &*args) };
    // SAFETY: the host hands back the entry's name, which is a `&'static str` of this package.
    let event: &'static str = unsafe { args.event.as_str() };
    // No `async fn`: what stands before the stream runs here, and a timer that it makes needs the runtime.
    match instance.runtime.enter(|| contained(|| invoke::<A, H, Args>(instance, args))) {
        Ok(Ok(Ok(stream))) => call::working(Yielding { stream, event, kind: PhantomData::<fn(R)> }, &instance.runtime),
        Ok(Ok(Err(failure))) => call::ended(Ended::Refused(failure)),
        Ok(Err(panic)) => call::ended(Ended::Panicked(panic)),
        Err(error) => call::ended(Ended::Failed(call::no_runtime(&error))),
    }
}

/// [`CallFn`](crate::abi::CallFn) of an event that awaits something and then yields.
unsafe extern "C" fn async_stream<A, H, Args, P, R>(instance: *const c_void, args: *const CallArgs) -> RawCall
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: Opens<P>,
    <<H::Output as Future>::Output as Opens<P>>::Stream: Send + 'static,
    <<<H::Output as Future>::Output as Opens<P>>::Stream as Stream>::Item: Item<R>,
    P: 'static,
    R: 'static,
{
    // SAFETY: as in `stream`.
    let (instance, args) = unsafe { (&*instance.cast::<Instance<A>>(), &*args) };
    // SAFETY: as in `stream`.
    let event: &'static str = unsafe { args.event.as_str() };
    match contained(|| invoke::<A, H, Args>(instance, args)) {
        Ok(Ok(future)) => {
            let opening = Opening::<_, _, P, R>::Opens { future, event, kind: PhantomData };
            call::working(opening, &instance.runtime)
        }
        Ok(Err(failure)) => call::ended(Ended::Refused(failure)),
        Err(panic) => call::ended(Ended::Panicked(panic)),
    }
}

pin_project! {
    /// A handler's stream.
    struct Yielding<Y, R> {
        #[pin]
        stream: Y,
        event: &'static str,
        kind: PhantomData<fn(R)>,
    }
}

impl<Y, R> Work for Yielding<Y, R>
where
    Y: Stream + Send + 'static,
    Y::Item: Item<R>,
    R: 'static,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, out: Out) -> Progress {
        let this = self.project();
        match this.stream.poll_next(cx) {
            Poll::Pending => Progress::Waits,
            Poll::Ready(None) => Progress::Over(step::END),
            Poll::Ready(Some(item)) => match item.show(|json| out.write(json)) {
                Ok(()) => Progress::Item,
                Err(error) => Progress::Over(out.fail(&log_and_convert(this.event, error))),
            },
        }
    }
}

pin_project! {
    /// A handler whose stream has to be awaited. The stream takes the place of its future.
    #[project = OpeningNow]
    enum Opening<F, Y, P, R> {
        Opens {
            #[pin]
            future: F,
            event: &'static str,
            kind: PhantomData<fn(P)>,
        },
        Open {
            #[pin]
            stream: Yielding<Y, R>,
        },
    }
}

impl<F, Y, P, R> Work for Opening<F, Y, P, R>
where
    F: Future + Send + 'static,
    F::Output: Opens<P, Stream = Y>,
    Y: Stream + Send + 'static,
    Y::Item: Item<R>,
    P: 'static,
    R: 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: Out) -> Progress {
        let (opened, event) = match self.as_mut().project() {
            OpeningNow::Open { stream } => return stream.poll(cx, out),
            OpeningNow::Opens { future, event, .. } => match future.poll(cx) {
                Poll::Pending => return Progress::Waits,
                Poll::Ready(output) => (output.open(), *event),
            },
        };
        match opened {
            Ok(stream) => self.set(Self::Open { stream: Yielding { stream, event, kind: PhantomData } }),
            Err(error) => return Progress::Over(out.fail(&log_and_convert(event, error))),
        }
        self.poll(cx, out)
    }
}
