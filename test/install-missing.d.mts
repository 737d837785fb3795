/** Installs with apt-get what is not there yet; ends the process when it cannot. */
export function installMissing(): void;
