/** Made by samples.ts beside vite.config.ts from the held-out digits. */
declare module "virtual:samples" {
  const digits: { label: number; pixels: string }[];
  export default digits;
}
