/** The model of the document's examples, for as long as nobody knows of one that is served. */
export const EXAMPLE_MODEL = "internlm2-chat-7b";
