// Responses are sent in order of completion, so one call can overtake another.
export default async (body) => {
  await Bun.sleep(body.ms);
  return body;
};
