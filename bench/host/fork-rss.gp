# Fork against how much memory the parent has written; fork.exit is the line below them all.
# Given: $DATA (MiB, median, min, p95, words), axis, top, base, x_least, x_most, machine,
# measured, system.
set title '{/:Bold '.system.': fork, exit and wait, by memory of the parent}, '.measured. \
  "\n{/*0.7 ".machine.'}' font ',14'
set tmargin 5
set lmargin 10
set rmargin 4
set border 3 lc rgb '#444444'
set logscale x 2
set xrange [x_least:x_most]
set yrange [0:top]
set xlabel 'memory that the parent has written, MiB'
set ylabel axis
set xtics nomirror
set ytics nomirror
set grid ytics lc rgb '#dddddd' lw 1 dt 1
set key top left Left reverse samplen 3 spacing 1.3
plot $DATA using 1:2 with lines lw 1.6 lc rgb '#777777' notitle, \
     $DATA using 1:2:3:4 with yerrorbars pt 7 ps 0.9 lw 1.6 lc rgb '#000000' \
       title 'median, with the least sample and the 95th percentile', \
     base > 0 ? base : NaN with lines dt 2 lw 1.6 lc rgb '#000000' \
       title 'fork.exit: the benchmark program as it is', \
     $DATA using 1:4:5 with labels offset 0, 1 font ',11' notitle
