/** Files that the executable carries with it: what an import of them gives is a path to read from. */
declare module "swagger-ui-dist/swagger-ui-bundle.js" {
  const path: string;
  export default path;
}

declare module "swagger-ui-dist/swagger-ui.css" {
  const path: string;
  export default path;
}

declare module "*/page/favicon.svg" {
  const path: string;
  export default path;
}

declare module "*/page/index.html" {
  const path: string;
  export default path;
}

declare module "*/page/start.js" {
  const path: string;
  export default path;
}

declare module "*/page/style.css" {
  const path: string;
  export default path;
}
