# Keeps the clock of a lab host going: `perl tick.pl PID-OF-ITS-KERNEL`.
# User-mode Linux drops a timer's signal that comes while it handles the one before (unblock_signals() in
# arch/um/os-Linux/signal.c: "do not reenter the handler"). It then waits for an event that nobody will
# send, its timers stop for good, and it spins where it should be idle; at times, in the first minute after
# the start. One more signal is all it takes to go on, and one too many does nothing.
use strict;
use warnings;

my ($kernel) = @ARGV;
my $every = 0.1;                  # s: so long a lost signal may hold a host up
my $alarm = 1 << (14 - 1);        # SIGALRM in the kernel's masks

sub pause { select(undef, undef, undef, $every) }

# The signal would end a kernel that does not yet expect it.
sub expects_alarm {
  open(my $status, '<', "/proc/$kernel/status") or exit;
  my ($caught) = map { /^SigCgt:\s*([0-9a-f]+)/ ? $1 : () } <$status>;
  return defined $caught && hex(substr($caught, -8)) & $alarm;
}

pause() until expects_alarm();
pause() while kill('ALRM', $kernel);
