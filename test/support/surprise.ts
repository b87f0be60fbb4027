/** Loaded into a proxy before its own code: signals make it meet what no code of its own should do. */
process.on("SIGUSR1", () => {
  setTimeout(() => {
    throw new Error("surprise: thrown");
  }, 0);
});
process.on("SIGUSR2", () => {
  void Promise.reject(new Error("surprise: rejected"));
  void Promise.reject(Object.create(null));
});
