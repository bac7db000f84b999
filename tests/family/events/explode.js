export default async () => {
  throw Error("Something went wrong");
};
