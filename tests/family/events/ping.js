export default async () => ({ pong: true });
