/**
 * A named point of an operation at which a test may have the process die. Only where the environment names the point:
 * everywhere else calling it does nothing.
 */
export type FailurePoint = (name: string) => void;

/**
 * @param wanted the one point at which to die; `undefined`: none.
 * @param die ends the process without another word, as the loss of power would.
 */
export function createFailurePoint(wanted: string | undefined, die: () => void): FailurePoint {
  return (name) => {
    if (name === wanted) die();
  };
}
