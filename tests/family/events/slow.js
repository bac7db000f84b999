// Answers come in the order in which they are done: two of these can overtake each other.
export default async (body) => {
  await Bun.sleep(body.ms);
  return body;
};
