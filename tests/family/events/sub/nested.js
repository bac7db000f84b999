export default async () => ({ nested: true });
